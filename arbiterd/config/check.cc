// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/config/check.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "arbiterd/config/text.h"

namespace corn::config {
namespace {

using List = std::vector<std::string>;

std::optional<std::int64_t> digits(std::string_view text, int base) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// As Python's int(text, 0): decimal, or with a prefix 0x, 0o or 0b.
std::optional<std::int64_t> whole_number(std::string_view text) {
  if (text.starts_with("+")) text.remove_prefix(1);
  if (text.size() > 2 && text[0] == '0' && text[2] != '-') {
    const std::string_view rest = text.substr(2);
    switch (text[1]) {
      case 'x':
      case 'X':
        return digits(rest, 16);
      case 'o':
      case 'O':
        return digits(rest, 8);
      case 'b':
      case 'B':
        return digits(rest, 2);
      default:
        break;
    }
  }
  return digits(text, 10);
}

std::optional<double> decimal_number(std::string_view text) {
  double number = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return std::isfinite(number) ? std::optional(number) : std::nullopt;
}

std::optional<double> number_of(const RawValue& raw) {
  if (const auto* whole = std::get_if<std::int64_t>(&raw.content)) {
    return static_cast<double>(*whole);
  }
  if (const auto* fraction = std::get_if<double>(&raw.content)) {
    return std::isfinite(*fraction) ? std::optional(*fraction) : std::nullopt;
  }
  if (const auto* text = std::get_if<std::string>(&raw.content)) {
    return decimal_number(trimmed(*text));
  }
  return std::nullopt;
}

// A number with a point that has nothing behind it is whole, as Python's int() sees it.
std::optional<std::int64_t> whole_number_of(const RawValue& raw) {
  if (const auto* whole = std::get_if<std::int64_t>(&raw.content)) return *whole;
  if (const auto* number = std::get_if<double>(&raw.content)) {
    constexpr double kExact = 9007199254740992;  // 2^53
    if (std::floor(*number) != *number || std::abs(*number) > kExact) return std::nullopt;
    return static_cast<std::int64_t>(*number);
  }
  if (const auto* text = std::get_if<std::string>(&raw.content)) {
    return whole_number(trimmed(*text));
  }
  return std::nullopt;
}

// One line without NUL, so that it can go into argv, an environment or a log as it is.
std::optional<std::string> line_of(const RawValue& raw) {
  const auto* text = std::get_if<std::string>(&raw.content);
  if (text == nullptr) return std::nullopt;
  const std::string_view line = trimmed(*text);
  const bool broken = line.find_first_of(std::string_view("\0\n\r", 3)) != std::string_view::npos;
  return broken ? std::nullopt : std::optional<std::string>(line);
}

std::optional<Value> as_switch(const RawValue& raw) {
  if (const auto* value = std::get_if<bool>(&raw.content)) return Value(*value);
  const std::string text = lowercase(line_of(raw).value_or(""));
  if (text == "true") return Value(true);
  if (text == "false") return Value(false);
  return std::nullopt;
}

std::optional<Value> as_whole(const Setting& setting, const RawValue& raw) {
  const auto number = whole_number_of(raw);
  if (!number || *number < setting.minimum || *number > setting.maximum) return std::nullopt;
  return Value(*number);
}

std::optional<Value> as_seconds(const Setting& setting, const RawValue& raw) {
  const auto number = number_of(raw);
  if (!number || *number < static_cast<double>(setting.minimum) ||
      *number > static_cast<double>(setting.maximum)) {
    return std::nullopt;
  }
  // Upwards, because zero is "no limit" and a microsecond is not.
  return Value(static_cast<std::int64_t>(std::ceil(*number * 1000.0 - 1e-6)));
}

std::optional<Value> as_fraction(const RawValue& raw) {
  const auto number = number_of(raw);
  if (!number || *number < 0 || *number > 1) return std::nullopt;
  return Value(static_cast<std::int64_t>(std::lround(*number * 1000.0)));
}

std::optional<Value> as_bytes(const Setting& setting, const RawValue& raw) {
  double factor = 1;
  RawValue amount = raw;
  if (const auto* text = std::get_if<std::string>(&raw.content)) {
    std::string number = lowercase(trimmed(*text));
    if (number.ends_with("ib")) {
      number.resize(number.size() - 2);
    } else if (number.ends_with("b")) {
      number.resize(number.size() - 1);
    }
    const std::size_t unit =
        number.empty() ? std::string::npos : std::string_view("kmgt").find(number.back());
    if (unit != std::string::npos) {
      number.pop_back();
      factor = std::pow(1024.0, static_cast<double>(unit + 1));
    }
    amount.content = std::string(trimmed(number));
  }
  const auto number = number_of(amount);
  if (!number) return std::nullopt;
  const double bytes = *number * factor;
  if (bytes != std::floor(bytes) && factor == 1) return std::nullopt;  // half a byte
  constexpr double kMost = 1e18;
  if (bytes < static_cast<double>(setting.minimum) || bytes > kMost ||
      bytes > static_cast<double>(setting.maximum)) {
    return std::nullopt;
  }
  return Value(static_cast<std::int64_t>(bytes));
}

// A text is octal and begins with 0, because "22" would be anybody's guess; gunicorn reads it as
// decimal.
std::optional<Value> as_mask(const RawValue& raw) {
  std::optional<std::int64_t> mask;
  if (const auto* text = std::get_if<std::string>(&raw.content)) {
    const std::string_view line = trimmed(*text);
    const bool prefixed = line.starts_with("0o") || line.starts_with("0O");
    if (line.starts_with("0")) mask = digits(prefixed ? line.substr(2) : line, 8);
  } else {
    mask = whole_number_of(raw);
  }
  if (!mask || *mask < 0 || *mask > 0777) return std::nullopt;
  return Value(*mask);
}

std::optional<Value> as_text(const Setting& setting, const RawValue& raw) {
  if (const auto* number = std::get_if<std::int64_t>(&raw.content);
      number != nullptr && setting.numeric_text && *number >= 0) {
    return Value(std::to_string(*number));
  }
  auto line = line_of(raw);
  if (!line) return std::nullopt;
  return Value(std::move(*line));
}

std::optional<Value> as_choice(const Setting& setting, const RawValue& raw) {
  std::string word = lowercase(line_of(raw).value_or(""));
  if (setting.optional_value) {  // gunicorn also takes a switch for such a setting
    const auto* on = std::get_if<bool>(&raw.content);
    if (word == "true" || word == "1" || (on != nullptr && *on)) word = "auto";
    if (word == "false" || word == "0" || word == "none" || (on != nullptr && !*on)) word = "off";
  }
  // Python's logging knows both.
  if (setting.name == "loglevel" && word == "warn") word = "warning";
  const std::vector<std::string_view> choices = choices_of(setting);
  if (std::find(choices.begin(), choices.end(), word) == choices.end()) return std::nullopt;
  return Value(std::move(word));
}

bool append_texts(const RawValue& raw, bool split_at_commas, List& list) {
  const auto line = line_of(raw);
  if (!line) return false;
  if (!split_at_commas) {
    list.push_back(*line);
    return true;
  }
  for (const std::string_view part : split(*line, ',')) {
    if (const std::string_view item = trimmed(part); !item.empty()) list.emplace_back(item);
  }
  return true;
}

std::optional<Value> as_list(const RawValue& raw, bool split_at_commas) {
  List list;
  if (const auto* values = std::get_if<RawValue::List>(&raw.content)) {
    for (const RawValue& value : *values) {
      if (!append_texts(value, split_at_commas, list)) return std::nullopt;
    }
  } else if (!append_texts(raw, split_at_commas, list)) {
    return std::nullopt;
  }
  return Value(std::move(list));
}

// Sorted, because the order of a table's entries means nothing and not every source keeps it.
std::optional<Value> as_dictionary(const RawValue& raw) {
  if (const auto* table = std::get_if<RawValue::Table>(&raw.content)) {
    List list;
    for (const auto& [name, value] : *table) {
      const auto text = line_of(value);
      if (!text || name.empty() || name.find_first_of("=\n\r") != std::string::npos) {
        return std::nullopt;
      }
      list.push_back(name + "=" + *text);
    }
    std::sort(list.begin(), list.end());
    return Value(std::move(list));
  }
  std::optional<Value> entries = as_list(raw, true);
  const auto incomplete = [](const std::string& entry) { return entry.find('=') == entry.npos; };
  if (!entries || std::any_of(entries->list().begin(), entries->list().end(), incomplete)) {
    return std::nullopt;
  }
  return entries;
}

// As a text it is JSON, which Python reads.
std::optional<Value> as_object(const RawValue& raw) {
  if (const auto text = line_of(raw)) {
    return text->starts_with('{') && text->ends_with('}') ? std::optional(Value(*text))
                                                          : std::nullopt;
  }
  const auto* table = std::get_if<RawValue::Table>(&raw.content);
  if (table == nullptr) return std::nullopt;
  return table->empty() ? Value() : Value(raw.json());
}

std::optional<Value> as_surge(const RawValue& raw) {
  constexpr std::int64_t kMostPercent = 100;
  constexpr std::int64_t kMostWorkers = 1000;
  if (const auto* text = std::get_if<std::string>(&raw.content);
      text != nullptr && trimmed(*text).ends_with('%')) {
    std::string_view number = trimmed(*text);
    number.remove_suffix(1);
    const auto percent = digits(trimmed(number), 10);
    if (!percent || *percent < 1 || *percent > kMostPercent) return std::nullopt;
    return Value(std::to_string(*percent) + "%");
  }
  const auto count = whole_number_of(raw);
  if (!count || *count < 1 || *count > kMostWorkers) return std::nullopt;
  return Value(std::to_string(*count));
}

// Held as what is shown of it. Whether the object can be called is seen where it lives.
std::optional<Value> as_hook(const RawValue& raw) {
  if (std::holds_alternative<RawValue::Opaque>(raw.content)) return Value(raw.text());
  auto name = line_of(raw);
  if (!name || name->find('.') == std::string::npos) return std::nullopt;
  return Value(std::move(*name));
}

std::optional<Value> fitted(const Setting& setting, const RawValue& raw) {
  switch (setting.kind) {
    case Kind::kSwitch:
      return as_switch(raw);
    case Kind::kWhole:
      return as_whole(setting, raw);
    case Kind::kSeconds:
      return as_seconds(setting, raw);
    case Kind::kFraction:
      return as_fraction(raw);
    case Kind::kBytes:
      return as_bytes(setting, raw);
    case Kind::kMask:
      return as_mask(raw);
    case Kind::kText:
      return as_text(setting, raw);
    case Kind::kChoice:
      return as_choice(setting, raw);
    case Kind::kTextList:
      return as_list(raw, false);
    case Kind::kCommaList:
      return as_list(raw, true);
    case Kind::kDictionary:
      return as_dictionary(raw);
    case Kind::kObject:
      return as_object(raw);
    case Kind::kSurge:
      return as_surge(raw);
    case Kind::kHook:
      return as_hook(raw);
  }
  CORN_CHECK(false);
}

bool is_empty_text(const RawValue& raw) {
  const auto* text = std::get_if<std::string>(&raw.content);
  return text != nullptr && trimmed(*text).empty();
}

}  // namespace

base::Result<Value> check(const Setting& setting, const RawValue& raw) {
  const bool may_be_empty = setting.kind == Kind::kText || setting.kind == Kind::kObject ||
                            setting.kind == Kind::kChoice || setting.kind == Kind::kMask ||
                            setting.kind == Kind::kHook;
  if (may_be_empty && is_empty_text(raw)) return Value();
  std::optional<Value> value = fitted(setting, raw);
  if (!value) return base::fail(wanted(setting) + " is wanted");
  if (setting.problem != nullptr) {
    if (std::string problem = setting.problem(*value); !problem.empty()) {
      return base::fail(std::move(problem));
    }
  }
  return *std::move(value);
}

}  // namespace corn::config
