// SPDX-License-Identifier: Apache-2.0
// Scanner and head parser: no crash, every view inside the head or its scratch space, and a parser
// that is safe without the scanner.
#include "base/check.h"
#include "tests/fuzz/http_input.h"
#include "workerd/http/head_scanner.h"
#include "workerd/http/percent.h"
#include "workerd/http/request_head.h"

namespace corn::http {
namespace {

bool is_inside(std::string_view part, std::string_view whole) {
  return part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size();
}

void check_views(const RequestHead& request, std::string_view head) {
  const std::string_view scratch(request.scratch.data(), request.scratch.size());
  const auto check = [&](std::string_view part) {
    CORN_CHECK(part.empty() || is_inside(part, head) || is_inside(part, scratch));
  };
  check(request.method);
  check(request.target);
  check(request.query);
  check(request.host);
  CORN_CHECK(request.path == "/" || is_inside(request.path, head) || request.path.empty());
  for (const Field& field : request.fields) {
    CORN_CHECK(field.name == "Host" || is_inside(field.name, head));
    check(field.value);
  }
}

void parse(std::string_view head, const ParserOptions& options, PeerTrust trust) {
  RequestHead request;
  if (parse_head(head, options, request, trust)) return;
  check_views(request, head);
  std::string decoded;
  percent_decode(request.path, decoded);
  CORN_CHECK(decoded.size() <= request.path.size());
}

void test_one_input(const std::uint8_t* data, std::size_t size) {
  const FuzzInput input = read_fuzz_input(data, size);
  const ParserOptions options = fuzz_options(input.switches);
  const PeerTrust trust =
      (input.switches & kFuzzTrusted) != 0 ? PeerTrust::kTrusted : PeerTrust::kUntrusted;
  parse(input.bytes, options, trust);
  HeadScanner scanner(options);
  const ScanResult scan = scanner.feed(input.bytes);
  if (scan.kind == ScanResult::Kind::kComplete) {
    parse(input.bytes.substr(scan.skip_bytes, scan.head_bytes), options, trust);
  }
}

}  // namespace
}  // namespace corn::http

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  corn::http::test_one_input(data, size);
  return 0;
}
