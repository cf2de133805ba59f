// SPDX-License-Identifier: Apache-2.0
#include "workerd/http/date.h"

#include <chrono>
#include <cstring>
#include <string_view>

namespace corn::http {
namespace {

// Writes the last `digits` decimal digits of `value`.
void put_number(char* to, unsigned value, int digits) {
  for (int i = digits - 1; i >= 0; --i) {
    to[i] = static_cast<char>('0' + value % 10);
    value /= 10;
  }
}

}  // namespace

std::string_view DateCache::at(std::int64_t unix_seconds) {
  if (unix_seconds != second_) {
    // Names and their order are fixed by the RFC; strftime(3) would follow the locale.
    constexpr std::string_view kDays = "SunMonTueWedThuFriSat";
    constexpr std::string_view kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";
    const std::chrono::sys_seconds time{std::chrono::seconds(unix_seconds)};
    const auto day = std::chrono::floor<std::chrono::days>(time);
    const std::chrono::year_month_day date(day);
    const std::chrono::hh_mm_ss clock(time - day);

    std::memcpy(text_.data(), "DDD, 00 MMM 0000 00:00:00 GMT", kLength);
    std::memcpy(&text_[0], &kDays[std::chrono::weekday(day).c_encoding() * 3], 3);
    put_number(&text_[5], static_cast<unsigned>(date.day()), 2);
    std::memcpy(&text_[8], &kMonths[(static_cast<unsigned>(date.month()) - 1) * 3], 3);
    put_number(&text_[12], static_cast<unsigned>(static_cast<int>(date.year())), 4);
    put_number(&text_[17], static_cast<unsigned>(clock.hours().count()), 2);
    put_number(&text_[20], static_cast<unsigned>(clock.minutes().count()), 2);
    put_number(&text_[23], static_cast<unsigned>(clock.seconds().count()), 2);
    second_ = unix_seconds;
  }
  return {text_.data(), kLength};
}

}  // namespace corn::http
