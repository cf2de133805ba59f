// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/config/raw_value.h"

#include <fmt/format.h>

#include "base/json_text.h"

namespace corn::config {
namespace {

struct TextOf {
  std::string operator()(const RawValue::None&) const { return "None"; }
  std::string operator()(bool value) const { return value ? "true" : "false"; }
  std::string operator()(std::int64_t value) const { return std::to_string(value); }
  std::string operator()(double value) const { return fmt::format("{}", value); }
  std::string operator()(const std::string& value) const { return in_quotes(value); }
  std::string operator()(const RawValue::List& values) const {
    std::string text = "[";
    for (const RawValue& value : values) text += (text.size() > 1 ? ", " : "") + value.text();
    return text + "]";
  }
  std::string operator()(const RawValue::Table& values) const {
    std::string text = "{";
    for (const auto& [name, value] : values) {
      text += (text.size() > 1 ? ", " : " ") + in_quotes(name) + " = " + value.text();
    }
    return text + (values.empty() ? "}" : " }");
  }
  std::string operator()(const RawValue::Opaque& object) const { return "<" + object.type + ">"; }
};

std::string json_string(std::string_view text) {
  std::string result = "\"";
  base::append_json_text(text, result);
  return result + '"';
}

struct JsonOf {
  std::string operator()(const RawValue::None&) const { return "null"; }
  std::string operator()(bool value) const { return value ? "true" : "false"; }
  std::string operator()(std::int64_t value) const { return std::to_string(value); }
  std::string operator()(double value) const { return fmt::format("{}", value); }
  std::string operator()(const std::string& value) const { return json_string(value); }
  std::string operator()(const RawValue::List& values) const {
    std::string text = "[";
    for (const RawValue& value : values) text += (text.size() > 1 ? "," : "") + value.json();
    return text + "]";
  }
  std::string operator()(const RawValue::Table& values) const {
    std::string text = "{";
    for (const auto& [name, value] : values) {
      text += (text.size() > 1 ? "," : "") + json_string(name) + ":" + value.json();
    }
    return text + "}";
  }
  std::string operator()(const RawValue::Opaque&) const { return "null"; }
};

}  // namespace

std::string RawValue::json() const { return std::visit(JsonOf{}, content); }

std::string RawValue::text() const { return std::visit(TextOf{}, content); }

std::string in_quotes(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    switch (c) {
      case '"':
        result += "\\\"";
        break;
      case '\\':
        result += "\\\\";
        break;
      case '\n':
        result += "\\n";
        break;
      case '\t':
        result += "\\t";
        break;
      case '\r':
        result += "\\r";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
          result += fmt::format("\\u{:04X}", static_cast<unsigned>(c));
        } else {
          result += c;
        }
    }
  }
  return result + "\"";
}

}  // namespace corn::config
