// SPDX-License-Identifier: Apache-2.0
// make_http_seeds CORPUS OUTPUT: writes the files of tests/http_corpus as seeds for the fuzz
// targets, in directories OUTPUT/fuzz_NAME.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/fuzz/http_input.h"
#include "tests/http_corpus/corpus_file.h"

namespace corn::http {
namespace {

unsigned switches_of(const ReplayOptions& options) {
  unsigned switches = static_cast<unsigned>(options.parser.header_map) * 16;
  if (options.parser.permit_obsolete_folding) switches |= kFuzzFolding;
  if (options.parser.strip_header_spaces) switches |= kFuzzStripSpaces;
  if (options.parser.permit_unconventional_method) switches |= kFuzzUnconventional;
  if (options.parser.permit_unconventional_version) switches |= kFuzzUnconventional;
  if (options.parser.casefold_method) switches |= kFuzzCasefold;
  if (options.parser.max_fields < 10 || options.parser.max_field_bytes < 100)
    switches |= kFuzzSmallLimits;
  if (options.trust == PeerTrust::kTrusted) switches |= kFuzzTrusted;
  return switches;
}

class SeedWriter {
 public:
  explicit SeedWriter(std::filesystem::path root) : root_(std::move(root)) {}

  void write(const std::string& target, const std::string& name, unsigned switches,
             const std::string& bytes) const {
    const std::filesystem::path directory = root_ / ("fuzz_" + target);
    std::filesystem::create_directories(directory);
    std::ofstream(directory / name, std::ios::binary) << static_cast<char>(switches) << bytes;
  }

 private:
  std::filesystem::path root_;
};

void write_seeds(const CorpusCase& corpus_case, const SeedWriter& writer) {
  const std::string name = corpus_case.path.stem().string();
  const std::string& bytes = corpus_case.bytes;
  const unsigned switches = switches_of(corpus_case.options);
  const auto proxy = static_cast<unsigned>(corpus_case.options.proxy);
  writer.write("http_connection", name, switches, static_cast<char>(proxy) + bytes);
  writer.write("http_head", name, switches, bytes);
  writer.write("server_connection", name, 3, bytes);
  if (corpus_case.options.proxy != ProxyProtocolMode::kOff) {
    writer.write("http_proxy", name, proxy, bytes);
  }
  const std::size_t head_end = bytes.find("\r\n\r\n");
  if (bytes.find("chunked") < head_end && head_end != std::string::npos) {
    writer.write("http_chunked", name, switches, bytes.substr(head_end + 4));
  }
}

// The corpus has no responses; a few shapes to start from.
void write_response_seeds(const SeedWriter& writer) {
  writer.write("http_response", "plain", 6,
               "200 OK\xff"
               "Content-Type\xfftext/plain\xff");
  writer.write("http_response", "length", 6,
               "200 OK\xff"
               "Content-Length\xff"
               "4\xff");
  writer.write("http_response", "chunked", 6,
               "200 OK\xffTransfer-Encoding\xff"
               "chunked\xff");
  writer.write("http_response", "hop_by_hop", 2,
               "404 x\xff"
               "Connection\xff"
               "close\xffKeep-Alive\xff"
               "5\xff");
  writer.write("http_response", "no_body", 4,
               "304 Not Modified\xffServer\xffs\xff"
               "Date\xff"
               "d\xff");
}

// Frames as clients send them, with a mask of zeros.
void write_websocket_seeds(const SeedWriter& writer) {
  using namespace std::string_literals;
  const std::string mask(4, '\0');
  writer.write("http_websocket", "text", 0, "\x81\x85" + mask + "Hello");
  writer.write("http_websocket", "fragments", 1,
               "\x01\x81" + mask + "a\x89\x81" + mask + "p\x80\x82" + mask + "\xc3\xa4");
  writer.write("http_websocket", "medium", 2, "\x82\xfe\x00\xc8"s + mask + std::string(200, 'x'));
  writer.write("http_websocket", "large", 3, "\x82\xff\x00\x00\x00\x00\x00\x01\x00\x00"s + mask);
  writer.write("http_websocket", "close", 4, "\x88\x85" + mask + "\x03\xe8" + "bye");
  writer.write("http_websocket", "ping", 5, "\x89\x80" + mask + "\x8a\x80" + mask);
}

// Returns the process's exit status.
int make_seeds(const char* corpus, const char* output) {
  const auto cases = read_corpus(corpus);
  if (!cases) {
    std::fprintf(stderr, "%s\n", cases.error().message.c_str());
    return 1;
  }
  const SeedWriter writer(output);
  for (const CorpusCase& corpus_case : *cases) write_seeds(corpus_case, writer);
  write_response_seeds(writer);
  write_websocket_seeds(writer);
  return 0;
}

}  // namespace
}  // namespace corn::http

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: make_http_seeds CORPUS OUTPUT\n");
    return 2;
  }
  return corn::http::make_seeds(argv[1], argv[2]);
}
