// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <string_view>

namespace corn::http {

// The Date field's value, "Sun, 06 Nov 1994 08:49:37 GMT" (IMF-fixdate, RFC 9110 section 5.6.7),
// made anew once a second. Not thread-safe: one per thread.
class DateCache {
 public:
  // `unix_seconds` is wall-clock time. Valid until the next call; years 0 to 9999.
  std::string_view at(std::int64_t unix_seconds);

 private:
  static constexpr std::size_t kLength = 29;
  std::int64_t second_ = std::numeric_limits<std::int64_t>::min();
  std::array<char, kLength> text_{};
};

}  // namespace corn::http
