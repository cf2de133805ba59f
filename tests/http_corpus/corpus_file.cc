// SPDX-License-Identifier: Apache-2.0
#include "tests/http_corpus/corpus_file.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <map>
#include <sstream>
#include <string_view>

namespace corn::http {
namespace {

using base::fail;
using base::Result;
using base::Status;

Status unescape(std::string_view text, std::string& out) {
  while (!text.empty()) {
    if (text.front() != '\\') {
      out += text.front();
      text.remove_prefix(1);
      continue;
    }
    if (text.size() < 2) return fail("a backslash at the end");
    const char kind = text[1];
    text.remove_prefix(2);
    if (kind == 'r') {
      out += '\r';
    } else if (kind == 'n') {
      out += '\n';
    } else if (kind == 't') {
      out += '\t';
    } else if (kind == '\\') {
      out += '\\';
    } else if (kind == 'x' && text.size() >= 2) {
      unsigned value = 0;
      std::from_chars(text.data(), text.data() + 2, value, 16);
      out += static_cast<char>(value);
      text.remove_prefix(2);
    } else if (kind == '*') {
      std::size_t count = 0;
      const char* const digits_end =
          std::from_chars(text.data(), text.data() + text.size(), count).ptr;
      text.remove_prefix(static_cast<std::size_t>(digits_end - text.data()));
      const std::size_t end = text.find(')');
      if (!text.starts_with('(') || end == std::string_view::npos)
        return fail("\\*N(TEXT) expected");
      std::string repeated;
      if (Status status = unescape(text.substr(1, end - 1), repeated); !status) return status;
      for (std::size_t i = 0; i < count; ++i) out += repeated;
      text.remove_prefix(end + 1);
    } else {
      return fail("unknown escape");
    }
  }
  return {};
}

std::vector<std::string> split_commas(const std::string& text) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, ',');) parts.push_back(part);
  return parts;
}

template <typename Value>
Status choose(const std::map<std::string, Value>& choices, const std::string& name, Value& out) {
  const auto found = choices.find(name);
  if (found == choices.end()) return fail("unknown value '" + name + "'");
  out = found->second;
  return {};
}

Status apply_setting(const std::string& name, const std::string& value, ReplayOptions& options) {
  ParserOptions& parser = options.parser;
  const std::map<std::string, std::size_t*> numbers = {
      {"max_request_line", &parser.max_request_line},
      {"max_fields", &parser.max_fields},
      {"max_field_bytes", &parser.max_field_bytes},
      {"max_head_bytes", &parser.max_head_bytes}};
  const std::map<std::string, bool*> switches = {
      {"permit_obsolete_folding", &parser.permit_obsolete_folding},
      {"strip_header_spaces", &parser.strip_header_spaces},
      {"permit_unconventional_method", &parser.permit_unconventional_method},
      {"permit_unconventional_version", &parser.permit_unconventional_version},
      {"casefold_method", &parser.casefold_method}};
  if (const auto found = numbers.find(name); found != numbers.end()) {
    const char* const end = value.data() + value.size();
    if (std::from_chars(value.data(), end, *found->second).ptr != end || value.empty()) {
      return fail("'" + value + "' is no number");
    }
  } else if (const auto toggle = switches.find(name); toggle != switches.end()) {
    *toggle->second = true;
  } else if (name == "trusted") {
    options.trust = PeerTrust::kTrusted;
  } else if (name == "forwarder_headers") {
    parser.forwarder_headers = split_commas(value);
  } else if (name == "header_map") {
    return choose<base::HeaderMap>({{"drop", base::HeaderMap::kDrop},
                                    {"refuse", base::HeaderMap::kRefuse},
                                    {"dangerous", base::HeaderMap::kDangerous}},
                                   value, parser.header_map);
  } else if (name == "proxy_protocol") {
    return choose<ProxyProtocolMode>({{"v1", ProxyProtocolMode::kV1},
                                      {"v2", ProxyProtocolMode::kV2},
                                      {"auto", ProxyProtocolMode::kAuto}},
                                     value, options.proxy);
  } else {
    return fail("unknown setting '" + name + "'");
  }
  return {};
}

Status apply_preamble_line(const std::string& line, ReplayOptions& options) {
  if (line.empty() || line.front() == '#') return {};
  std::istringstream words(line);
  std::string command;
  std::string name;
  std::string value;
  words >> command >> name >> value;
  if (command != "set") return fail("'set NAME [VALUE]', '# comment' or 'send' expected");
  return apply_setting(name, value, options);
}

}  // namespace

Result<CorpusCase> read_corpus_case(const std::filesystem::path& path) {
  std::ifstream file(path);
  if (!file) return fail(path.string() + ": cannot be read");

  enum class Section { kSettings, kSend, kExpect };
  Section section = Section::kSettings;
  CorpusCase result;
  result.path = path;
  result.options.parser = ParserOptions::from(base::WorkerConfig{});
  int number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    Status status;
    if (section == Section::kExpect) {
      result.expected += line + '\n';
      continue;
    }
    result.preamble += line + '\n';
    if (line == "send") {
      section = Section::kSend;
    } else if (line == "expect") {
      section = Section::kExpect;
    } else if (section == Section::kSend) {
      status = unescape(line, result.bytes);
    } else {
      status = apply_preamble_line(line, result.options);
    }
    if (!status) {
      return fail(path.string() + ':' + std::to_string(number) + ": " + status.error().message);
    }
  }
  if (section != Section::kExpect) return fail(path.string() + ": no line 'expect'");
  return result;
}

Result<std::vector<CorpusCase>> read_corpus(const std::filesystem::path& directory) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    if (entry.path().extension() == ".txt") paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  std::vector<CorpusCase> cases;
  for (const std::filesystem::path& path : paths) {
    Result<CorpusCase> read = read_corpus_case(path);
    if (!read) return tl::unexpected(read.error());
    cases.push_back(std::move(*read));
  }
  return cases;
}

}  // namespace corn::http
