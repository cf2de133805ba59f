// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/config/value.h"

#include <fmt/format.h>

#include "arbiterd/config/raw_value.h"

namespace corn::config {
namespace {

std::string list_to_toml(const std::vector<std::string>& values) {
  std::string text = "[";
  for (const std::string& value : values) text += (text.size() > 1 ? ", " : "") + in_quotes(value);
  return text + "]";
}

std::string dictionary_to_toml(const std::vector<std::string>& entries) {
  std::string text = "{";
  for (const std::string& entry : entries) {
    const std::size_t equals = entry.find('=');
    text += (text.size() > 1 ? ", " : " ") + in_quotes(entry.substr(0, equals)) + " = " +
            in_quotes(entry.substr(equals + 1));
  }
  return text + (entries.empty() ? "}" : " }");
}

std::string thousandths_to_toml(std::int64_t thousandths) {
  if (thousandths % 1000 == 0) return std::to_string(thousandths / 1000);
  std::string text = fmt::format("{}.{:03}", thousandths / 1000, thousandths % 1000);
  while (text.back() == '0') text.pop_back();
  return text;
}

}  // namespace

std::string to_toml(Kind kind, const Value& value) {
  if (!value.is_set()) return "\"\"";
  switch (kind) {
    case Kind::kSwitch:
      return value.on() ? "true" : "false";
    case Kind::kWhole:
    case Kind::kBytes:
      return std::to_string(value.number());
    case Kind::kSeconds:
    case Kind::kFraction:
      return thousandths_to_toml(value.number());
    case Kind::kMask:
      return fmt::format("0o{:03o}", value.number());
    case Kind::kText:
    case Kind::kChoice:
    case Kind::kObject:
    case Kind::kSurge:
    case Kind::kHook:
      return in_quotes(value.text());
    case Kind::kTextList:
    case Kind::kCommaList:
      return list_to_toml(value.list());
    case Kind::kDictionary:
      return dictionary_to_toml(value.list());
  }
  CORN_CHECK(false);
}

}  // namespace corn::config
