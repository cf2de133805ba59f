// SPDX-License-Identifier: Apache-2.0
// python/corn/settings_table.py: what the Python package has to know of the settings.
#include <fmt/format.h>

#include <limits>

#include "arbiterd/config/schema.h"
#include "arbiterd/config/sources.h"
#include "arbiterd/config/text.h"

namespace corn::config {
namespace {

constexpr std::string_view kIntroduction = R"(# SPDX-License-Identifier: Apache-2.0
"""arbiterd's settings, as corn.config wants them.

Made from the table in arbiterd/config; `CORN_REWRITE=1 ./dev test config` writes it anew.
"""

SETTINGS = (
)";

std::string_view name_of(Kind kind) {
  switch (kind) {
    case Kind::kSwitch:
      return "switch";
    case Kind::kWhole:
      return "whole";
    case Kind::kSeconds:
      return "seconds";
    case Kind::kFraction:
      return "fraction";
    case Kind::kBytes:
      return "bytes";
    case Kind::kMask:
      return "mask";
    case Kind::kText:
      return "text";
    case Kind::kChoice:
      return "choice";
    case Kind::kTextList:
      return "list";
    case Kind::kCommaList:
      return "comma-list";
    case Kind::kDictionary:
      return "dictionary";
    case Kind::kObject:
      return "object";
    case Kind::kSurge:
      return "surge";
    case Kind::kHook:
      return "hook";
  }
  CORN_CHECK(false);
}

std::string literal(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += c;
  }
  return result + '"';
}

std::string literal_list(const std::vector<std::string>& texts) {
  std::string result = "[";
  for (const std::string& text : texts) result += (result.size() > 1 ? ", " : "") + literal(text);
  return result + "]";
}

// The default in the type that a hook or script sees.
std::string default_literal(const Setting& setting) {
  const Value value = default_value(setting);
  const bool names = setting.kind == Kind::kDictionary || setting.kind == Kind::kObject;
  if (names) return "{}";  // none has names by default
  if (!value.is_set()) return "None";
  switch (setting.kind) {
    case Kind::kSwitch:
      return value.on() ? "True" : "False";
    case Kind::kSeconds: {
      const std::int64_t milliseconds = value.number();
      return milliseconds % 1000 == 0
                 ? fmt::format("{}", milliseconds / 1000)
                 : fmt::format("{}", static_cast<double>(milliseconds) / 1000.0);
    }
    case Kind::kFraction:
      return fmt::format("{}", static_cast<double>(value.number()) / 1000.0);
    case Kind::kWhole:
    case Kind::kBytes:
    case Kind::kMask:
      return fmt::format("{}", value.number());
    case Kind::kText:
    case Kind::kChoice:
    case Kind::kSurge:
      return literal(value.text());
    case Kind::kTextList:
    case Kind::kCommaList:
      return literal_list(value.list());
    case Kind::kDictionary:
    case Kind::kObject:
    case Kind::kHook:
      return "None";
  }
  CORN_CHECK(false);
}

std::string row(const Setting& setting) {
  std::string text =
      fmt::format("    {{\"name\": {}, \"kind\": {}, \"default\": {}", literal(setting.name),
                  literal(name_of(setting.kind)), default_literal(setting));
  const auto add = [&text](std::string_view key, const std::string& value) {
    text += fmt::format(", {}: {}", literal(key), value);
  };
  std::vector<std::string> flags;
  for (const std::string_view flag : flags_of(setting)) flags.emplace_back(flag);
  if (!flags.empty()) add("flags", literal_list(flags));
  if (setting.kind == Kind::kSwitch && !setting.flag_value) add("flag_value", "False");
  if (setting.repeatable) add("repeatable", "True");
  if (setting.optional_value) add("optional_value", "True");
  if (setting.numeric_text) add("numeric_text", "True");
  if (setting.scope == Scope::kInvocation) add("invocation", "True");
  if (!setting.gunicorn) add("gunicorn", "False");
  if (setting.minimum != 0) add("minimum", fmt::format("{}", setting.minimum));
  if (setting.maximum != std::numeric_limits<std::int64_t>::max()) {
    add("maximum", fmt::format("{}", setting.maximum));
  }
  if (!setting.choices.empty()) {
    std::vector<std::string> choices;
    for (const std::string_view choice : choices_of(setting)) choices.emplace_back(choice);
    add("choices", literal_list(choices));
  }
  std::string allowed = wanted(setting);
  if (allowed.ends_with(',')) allowed.pop_back();
  if (setting.kind != Kind::kHook) add("wanted", literal(allowed));
  return text + "},\n";
}

}  // namespace

std::string python_settings_table() {
  std::string text(kIntroduction);
  for (const Setting& setting : schema()) text += row(setting);
  return text + ")\n";
}

}  // namespace corn::config
