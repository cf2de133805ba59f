// SPDX-License-Identifier: Apache-2.0
// A checked value of a setting, in the one form that its kind has.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/check.h"

namespace corn::config {

// What a setting's value is, and so which spellings are read and how it is printed.
enum class Kind : std::uint8_t {
  kSwitch,      // true or false
  kWhole,       // a whole number
  kSeconds,     // a number of seconds, fractions allowed; held in milliseconds
  kFraction,    // a number from 0 to 1; held in thousandths
  kBytes,       // a size: a whole number, or a number with K, M, G or T (powers of 1024)
  kMask,        // a file mode mask; text is octal
  kText,        // a line of text
  kChoice,      // one of a few words, letter case ignored
  kTextList,    // texts; a single one stands for a list of one
  kCommaList,   // texts, commonly written with commas in between
  kDictionary,  // names and texts; held as "NAME=VALUE"
  kObject,      // a nested dictionary that Python alone reads; held as JSON text
  kSurge,       // a count, or a percentage: "2", "50%"
  kHook,        // a Python function
};

class Value {
 public:
  Value() = default;  // unset
  explicit Value(bool value) : content_(value) {}
  explicit Value(std::int64_t value) : content_(value) {}
  explicit Value(std::string value) : content_(std::move(value)) {}
  explicit Value(std::vector<std::string> values) : content_(std::move(values)) {}

  [[nodiscard]] bool is_set() const { return !std::holds_alternative<std::monostate>(content_); }

  // Each may be called for the kinds that are held that way only.
  [[nodiscard]] bool on() const { return get<bool>(); }
  [[nodiscard]] std::int64_t number() const { return get<std::int64_t>(); }
  [[nodiscard]] std::uint64_t u64() const { return static_cast<std::uint64_t>(number()); }
  // The caller's setting has a range that fits.
  [[nodiscard]] std::uint32_t u32() const { return static_cast<std::uint32_t>(number()); }
  [[nodiscard]] std::chrono::milliseconds duration() const {
    return std::chrono::milliseconds(number());
  }
  [[nodiscard]] const std::string& text() const { return get<std::string>(); }
  [[nodiscard]] const std::vector<std::string>& list() const {
    return get<std::vector<std::string>>();
  }

  bool operator==(const Value&) const = default;

 private:
  template <typename T>
  [[nodiscard]] const T& get() const {
    const T* held = std::get_if<T>(&content_);
    CORN_CHECK(held != nullptr);
    return *held;
  }

  std::variant<std::monostate, bool, std::int64_t, std::string, std::vector<std::string>> content_;
};

// As TOML has it, so that it can be pasted into a file: `0.5`, `"text"`, `["a", "b"]`. Unset is
// `""`.
std::string to_toml(Kind kind, const Value& value);

}  // namespace corn::config
