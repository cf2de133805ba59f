// SPDX-License-Identifier: Apache-2.0
// PROXY header: a verdict on the whole is never contradicted by one on a part.
#include "base/check.h"
#include "tests/fuzz/http_input.h"
#include "workerd/http/proxy_protocol.h"

namespace corn::http {
namespace {

void test_one_input(const std::uint8_t* data, std::size_t size) {
  using Kind = ProxyResult::Kind;
  const FuzzInput input = read_fuzz_input(data, size);
  const auto mode = static_cast<ProxyProtocolMode>(input.switches % 4);
  const ProxyResult whole = parse_proxy_header(input.bytes, mode);
  CORN_CHECK((whole.kind == Kind::kComplete) == whole.header.has_value());
  CORN_CHECK((whole.kind == Kind::kError) == whole.error.has_value());
  CORN_CHECK(whole.consumed_bytes <= input.bytes.size());
  for (std::size_t part = 0; part < input.bytes.size() && part < 300; ++part) {
    const ProxyResult early = parse_proxy_header(input.bytes.substr(0, part), mode);
    if (early.kind == Kind::kNeedMore) continue;
    CORN_CHECK(early.kind == whole.kind);
    CORN_CHECK(early.consumed_bytes == whole.consumed_bytes);
  }
}

}  // namespace
}  // namespace corn::http

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  corn::http::test_one_input(data, size);
  return 0;
}
