// SPDX-License-Identifier: Apache-2.0
// Response encoder: whatever an application sets, the head that leaves has the lines meant and no
// other. Input after the switches: the status line, then names and values, each ended by 0xff.
#include <algorithm>
#include <string>
#include <vector>

#include "base/check.h"
#include "tests/fuzz/http_input.h"
#include "workerd/http/response_encoder.h"

namespace corn::http {
namespace {

std::string_view next_part(std::string_view& rest) {
  const std::size_t end = std::min(rest.find('\xff'), rest.size());
  const std::string_view part = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return part;
}

void test_one_input(const std::uint8_t* data, std::size_t size) {
  const FuzzInput input = read_fuzz_input(data, size);
  std::string_view rest = input.bytes;
  const std::string_view status_line = next_part(rest);
  std::vector<Field> fields;
  while (!rest.empty()) {
    const std::string_view name = next_part(rest);
    fields.push_back({name, next_part(rest)});
  }
  ResponseEncoder encoder({.head_method = (input.switches & 1) != 0,
                           .http_1_1 = (input.switches & 2) != 0,
                           .keep_alive = (input.switches & 4) != 0});
  std::string out;
  const bool started = encoder.start({status_line, fields}, std::nullopt, "DATE", out).has_value();
  CORN_CHECK(started == check_response_head({status_line, fields}).has_value());
  if (!started) {
    CORN_CHECK(out.empty());
    return;
  }
  // Status line, the application's fields, at most four of the engine's, and the empty line.
  const auto lines = static_cast<std::size_t>(std::count(out.begin(), out.end(), '\n'));
  CORN_CHECK(lines <= fields.size() + 6);
  CORN_CHECK(lines == static_cast<std::size_t>(std::count(out.begin(), out.end(), '\r')));
  CORN_CHECK(out.find("\r\n\r\n") == out.size() - 4);
  CORN_CHECK(out.find('\0') == std::string::npos);
  encoder.append("body", out);
  (void)encoder.finish(out);
}

}  // namespace
}  // namespace corn::http

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  corn::http::test_one_input(data, size);
  return 0;
}
