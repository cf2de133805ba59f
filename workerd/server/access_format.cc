// SPDX-License-Identifier: Apache-2.0
#include "workerd/server/access_format.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "base/json_text.h"
#include "base/named_format.h"
#include "workerd/http/percent.h"
#include "workerd/server/field_name.h"

namespace corn::server {
namespace {

constexpr std::string_view kNothing = "-";

std::string_view request_field(const http::RequestHead* head, std::string_view name) {
  if (head == nullptr) return {};
  for (auto field = head->fields.rbegin(); field != head->fields.rend(); ++field) {
    if (same_field_name(field->name, name)) return field->value;
  }
  return {};
}

std::string_view response_field(std::string_view head, std::string_view name) {
  std::string_view found;
  while (!head.empty()) {
    const std::string_view line = head.substr(0, head.find("\r\n"));
    const std::size_t colon = line.find(':');
    if (colon != std::string_view::npos && same_field_name(line.substr(0, colon), name)) {
      const std::size_t value = line.find_first_not_of(' ', colon + 1);
      found = value == std::string_view::npos ? std::string_view() : line.substr(value);
    }
    if (line.size() + 2 >= head.size()) break;
    head.remove_prefix(line.size() + 2);
  }
  return found;
}

// RFC 4648 section 4, up to the first byte that doesn't belong to it.
std::string base64_decode(std::string_view text) {
  std::string out;
  unsigned bits = 0;
  unsigned held = 0;
  for (const char c : text) {
    unsigned value = 0;
    if (c >= 'A' && c <= 'Z') {
      value = static_cast<unsigned>(c - 'A');
    } else if (c >= 'a' && c <= 'z') {
      value = static_cast<unsigned>(c - 'a') + 26;
    } else if (c >= '0' && c <= '9') {
      value = static_cast<unsigned>(c - '0') + 52;
    } else if (c == '+') {
      value = 62;
    } else if (c == '/') {
      value = 63;
    } else {
      break;
    }
    held = held << 6U | value;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      out += static_cast<char>(held >> bits & 0xffU);
    }
  }
  return out;
}

void append_protocol(const http::RequestHead& head, std::string& out) {
  out += "HTTP/";
  out += static_cast<char>('0' + head.major_version % 10);
  out += '.';
  out += static_cast<char>('0' + head.minor_version % 10);
}

template <typename Number>
void append_number(Number number, std::string& out) {
  fmt::format_to(std::back_inserter(out), "{}", number);
}

void append_quotable(std::string_view text, std::string& out) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte >= 0x20 && byte < 0x7f) {
      out += c;
    } else {
      out += "\\x";
      out += kDigits[byte >> 4U];
      out += kDigits[byte & 15U];
    }
  }
}

// Cuts what stands from `begin` on, or fills it up.
void fit(std::size_t width, bool left, std::size_t precision, std::size_t begin, std::string& out) {
  if (out.size() - begin > precision) out.resize(begin + precision);
  const std::size_t size = out.size() - begin;
  if (size < width) out.insert(left ? out.size() : begin, width - size, ' ');
}

}  // namespace

void AccessFormat::append_escaped(std::string_view text, std::string& out) const {
  if (escape_ == Escape::kJson) {
    base::append_json_text(text, out);
  } else {
    append_quotable(text, out);
  }
}

void AccessFormat::append_or_nothing(std::string_view text, std::string& out) const {
  append_escaped(text.empty() ? kNothing : text, out);
}

// The user of Basic authentication (RFC 7617), who is not verified here. The scheme's case doesn't
// matter, as a field name's.
void AccessFormat::append_user(const http::RequestHead* head, std::string& out) const {
  const std::string_view value = request_field(head, "Authorization");
  constexpr std::string_view kScheme = "Basic ";
  if (!same_field_name(value.substr(0, kScheme.size()), kScheme)) {
    out += kNothing;
    return;
  }
  const std::string credentials = base64_decode(value.substr(kScheme.size()));
  append_or_nothing(std::string_view(credentials).substr(0, credentials.find(':')), out);
}

void AccessFormat::append_request_line(const http::RequestHead* head, std::string& out) const {
  if (head == nullptr || head->method.empty()) {
    out += kNothing;
    return;
  }
  append_escaped(head->method, out);
  out += ' ';
  append_escaped(head->target, out);
  out += ' ';
  append_protocol(*head, out);
}

std::size_t AccessFormat::add_variable(std::string_view name) {
  const auto found = std::find(variables_.begin(), variables_.end(), name);
  const auto index = static_cast<std::size_t>(found - variables_.begin());
  if (found == variables_.end()) variables_.emplace_back(name);
  return index;
}

AccessFormat::Piece AccessFormat::piece_for(std::string_view name) {
  static constexpr std::array<std::pair<std::string_view, Atom>, 19> kAtoms{{
      {"h", Atom::kRemoteHost},
      {"u", Atom::kUser},
      {"t", Atom::kTime},
      {"time", Atom::kIsoTime},
      {"r", Atom::kRequestLine},
      {"m", Atom::kMethod},
      {"U", Atom::kPath},
      {"q", Atom::kQuery},
      {"H", Atom::kProtocol},
      {"s", Atom::kStatus},
      {"st", Atom::kStatus},
      {"b", Atom::kBodyBytes},
      {"B", Atom::kBodyBytes},
      {"T", Atom::kSeconds},
      {"D", Atom::kMicroseconds},
      {"M", Atom::kMilliseconds},
      {"L", Atom::kDecimalSeconds},
      {"p", Atom::kProcess},
      {"pid", Atom::kProcessNumber},
  }};
  for (const auto& [atom_name, atom] : kAtoms) {
    if (atom_name != name) continue;
    Piece piece{.atom = atom, .text = {}};
    if (atom == Atom::kRemoteHost) piece.variable = add_variable("REMOTE_ADDR");
    if (atom == Atom::kPath) piece.variable = add_variable("PATH_INFO");
    return piece;
  }
  if (name == "f") return {.atom = Atom::kRequestField, .text = "Referer"};
  if (name == "a") return {.atom = Atom::kRequestField, .text = "User-Agent"};
  if (name.size() > 3 && name.front() == '{' && name[name.size() - 2] == '}') {
    const std::string field(name.substr(1, name.size() - 3));
    if (name.back() == 'i') return {.atom = Atom::kRequestField, .text = field};
    if (name.back() == 'o') return {.atom = Atom::kResponseField, .text = field};
    if (name.back() == 'e') {
      return {.atom = Atom::kVariable, .text = {}, .variable = add_variable(field)};
    }
  }
  return {.atom = Atom::kLiteral, .text = std::string(kNothing)};
}

base::Result<AccessFormat> AccessFormat::compile(std::string_view format, Escape escape) {
  auto parsed = base::parse_named_format(format);
  if (!parsed) return base::fail("access_log_format: " + parsed.error().message);
  AccessFormat result;
  result.escape_ = escape;
  for (const base::FormatPiece& part : *parsed) {
    Piece piece = part.named ? result.piece_for(part.text) : Piece{.text = part.text};
    piece.width = part.width;
    piece.left = part.left;
    piece.precision = part.precision;
    piece.padded = part.width > 0 || part.precision != base::FormatPiece::kUnlimited;
    result.pieces_.push_back(std::move(piece));
  }
  result.pieces_.push_back({.text = "\n"});
  return result;
}

void AccessFormat::append(const AccessRecord& record, const AccessTime& time,
                          std::string& out) const {
  for (const Piece& piece : pieces_) {
    const std::size_t begin = out.size();
    append_piece(piece, record, time, out);
    if (piece.padded) [[unlikely]]
      fit(piece.width, piece.left, piece.precision, begin, out);
  }
}

void AccessFormat::append_piece(const Piece& piece, const AccessRecord& record,
                                const AccessTime& time, std::string& out) const {
  using std::chrono::duration_cast;
  const http::RequestHead* head = record.head;
  const auto microseconds = duration_cast<std::chrono::microseconds>(record.duration).count();
  const std::string_view variable = piece.variable < record.variables.size()
                                        ? std::string_view(record.variables[piece.variable])
                                        : std::string_view();
  switch (piece.atom) {
    case Atom::kLiteral:
      out += piece.text;
      break;
    case Atom::kRemoteHost:
      append_or_nothing(variable.empty() ? record.remote_host : variable, out);
      break;
    case Atom::kUser:
      append_user(head, out);
      break;
    case Atom::kTime:
      out += time.common;
      break;
    case Atom::kIsoTime:
      out += time.iso;
      break;
    case Atom::kRequestLine:
      append_request_line(head, out);
      break;
    case Atom::kMethod:
      append_or_nothing(head == nullptr ? kNothing : head->method, out);
      break;
    case Atom::kPath: {
      std::string path(variable);
      if (path.empty() && head != nullptr) http::percent_decode(head->path, path);
      append_or_nothing(path, out);
      break;
    }
    case Atom::kQuery:
      if (head != nullptr) append_escaped(head->query, out);
      break;
    case Atom::kProtocol:
      if (head == nullptr) {
        out += kNothing;
      } else {
        append_protocol(*head, out);
      }
      break;
    case Atom::kStatus:
      append_number(record.status, out);
      break;
    case Atom::kBodyBytes:
      append_number(record.body_bytes, out);
      break;
    case Atom::kSeconds:
      append_number(microseconds / 1'000'000, out);
      break;
    case Atom::kMicroseconds:
      append_number(microseconds, out);
      break;
    case Atom::kMilliseconds:
      append_number(microseconds / 1'000, out);
      break;
    case Atom::kDecimalSeconds:
      fmt::format_to(std::back_inserter(out), "{}.{:06}", microseconds / 1'000'000,
                     microseconds % 1'000'000);
      break;
    case Atom::kProcess:
      fmt::format_to(std::back_inserter(out), "<{}>", ::getpid());
      break;
    case Atom::kProcessNumber:
      append_number(::getpid(), out);
      break;
    case Atom::kRequestField:
      append_or_nothing(request_field(head, piece.text), out);
      break;
    case Atom::kResponseField:
      append_or_nothing(response_field(record.response_head, piece.text), out);
      break;
    case Atom::kVariable:
      append_or_nothing(variable, out);
      break;
  }
}

}  // namespace corn::server
