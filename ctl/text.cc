// SPDX-License-Identifier: Apache-2.0
#include "ctl/text.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <ctime>

namespace corn::ctl {
namespace {

bool starts_character(char byte) { return (static_cast<unsigned char>(byte) & 0xc0U) != 0x80U; }

template <typename... Values>
std::string print(const char* format, Values... values) {
  std::array<char, 64> buffer{};
  const int size = std::snprintf(buffer.data(), buffer.size(), format, values...);
  return {buffer.data(), static_cast<std::size_t>(size)};
}

// `value` of a unit with a decimal where there is only one digit before it.
std::string scaled(double value, const char* unit) {
  return fixed(value, value < 9.95 ? 1 : 0) + unit;
}

}  // namespace

std::size_t width(std::string_view text) {
  std::size_t columns = 0;
  for (const char byte : text) columns += starts_character(byte) ? 1 : 0;
  return columns;
}

std::string fit(std::string_view text, std::size_t columns) {
  const std::string_view line = text.substr(0, text.find('\n'));
  const bool whole = line.size() == text.size() || line.size() + 1 == text.size();
  if (whole && width(line) <= columns) return std::string(line);
  if (columns == 0) return {};
  std::size_t end = 0;
  for (std::size_t used = 0; end < line.size(); ++end) {
    if (starts_character(line[end]) && ++used == columns) break;
  }
  return std::string(line.substr(0, end)) + "…";
}

std::string harmless(std::string_view text) {
  std::string result;
  for (const char byte : text) {
    const auto value = static_cast<unsigned char>(byte);
    if ((value < 0x20 && byte != '\n' && byte != '\t') || value == 0x7f) {
      result += print("\\x%02x", static_cast<unsigned>(value));
    } else if (value >= 0x80 && value < 0xa0 && !result.empty() && result.back() == '\xc2') {
      // U+0080 to U+009F: control characters too, for terminals that still know them.
      result.pop_back();
      result += print("\\x%02x", static_cast<unsigned>(value));
    } else {
      result += byte;
    }
  }
  return result;
}

std::string fixed(double value, int decimals) { return print("%.*f", decimals, value); }

std::string seconds(double value) {
  return fixed(value, value == std::floor(value) ? 0 : 1) + " s";
}

std::string duration(double seconds) {
  const auto total = static_cast<std::uint64_t>(seconds < 0 ? 0 : seconds);
  const std::uint64_t minutes = total / 60;
  const std::uint64_t hours = minutes / 60;
  const std::uint64_t days = hours / 24;
  if (total < 60) return std::to_string(total) + "s";
  if (hours == 0) return std::to_string(minutes) + "m" + print("%02us", unsigned(total % 60));
  if (days == 0) return std::to_string(hours) + "h" + print("%02um", unsigned(minutes % 60));
  return std::to_string(days) + "d" + print("%02uh", unsigned(hours % 24));
}

std::string bytes(std::uint64_t value) {
  constexpr std::array kUnits{"K", "M", "G", "T"};
  if (value < 1000) return std::to_string(value);
  auto amount = static_cast<double>(value);
  std::size_t unit = 0;
  for (amount /= 1024; amount >= 999.5 && unit + 1 < kUnits.size(); ++unit) amount /= 1024;
  return scaled(amount, kUnits[unit]);
}

std::string count(std::uint64_t value) {
  constexpr std::array kUnits{"M", "G", "T"};
  if (value < 1'000'000) return std::to_string(value);
  auto amount = static_cast<double>(value) / 1e6;
  std::size_t unit = 0;
  for (; amount >= 999.95 && unit + 1 < kUnits.size(); ++unit) amount /= 1000;
  return fixed(amount, 1) + kUnits[unit];
}

std::string milliseconds(double value) {
  if (value >= 999.5) return fixed(value / 1000, 1) + " s";
  return scaled(value, " ms");
}

std::string date_time(const google::protobuf::Timestamp& time) {
  const std::time_t seconds = time.seconds();
  std::tm local{};
  ::localtime_r(&seconds, &local);
  std::array<char, 32> buffer{};
  const std::size_t size = std::strftime(buffer.data(), buffer.size(), "%m-%d %H:%M:%S", &local);
  return {buffer.data(), size};
}

}  // namespace corn::ctl
