// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "arbiterd/config/file_layers.h"

namespace corn::config {
namespace {

using Json = nlohmann::ordered_json;

RawValue raw_value(const Json& json) {
  switch (json.type()) {
    case Json::value_t::boolean:
      return {json.get<bool>()};
    case Json::value_t::number_integer:
      return {json.get<std::int64_t>()};
    case Json::value_t::number_unsigned: {
      const auto number = json.get<std::uint64_t>();
      constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
      if (number > kMost) return {static_cast<double>(number)};
      return {static_cast<std::int64_t>(number)};
    }
    case Json::value_t::number_float:
      return {json.get<double>()};
    case Json::value_t::string:
      return {json.get<std::string>()};
    case Json::value_t::array: {
      RawValue::List list;
      for (const Json& element : json) list.push_back(raw_value(element));
      return {std::move(list)};
    }
    case Json::value_t::object: {
      RawValue::Table table;
      for (const auto& [name, value] : json.items()) table.push_back({name, raw_value(value)});
      return {std::move(table)};
    }
    case Json::value_t::null:
    case Json::value_t::binary:
    case Json::value_t::discarded:
      return {RawValue::None{}};
  }
  CORN_CHECK(false);
}

RawValue raw_value(const base::ConfigValue& value) {
  if (value.value.empty()) return {RawValue::Opaque{value.type}};
  const Json json = Json::parse(value.value, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return {RawValue::Opaque{value.type}};
  return raw_value(json);
}

// Whether a name of the file is a setting rather than a variable of the author's own. gunicorn has
// a setting `config` that means nothing in a file; its help and version are no settings.
bool is_setting(const Setting* setting) {
  if (setting == nullptr) return false;
  return setting->scope != Scope::kInvocation || (setting->gunicorn && setting->name != "config");
}

bool is_off(const RawValue& raw) {
  const auto* value = std::get_if<bool>(&raw.content);
  return value != nullptr && !*value;
}

}  // namespace

FileLayers python_layers(const base::ConfigValues& values, const std::string& shown,
                         Problems& problems) {
  FileLayers layers;
  Layer layer;
  for (const base::ConfigValue& value : values.values) {
    const Setting* setting = find_setting(value.name);
    if (!is_setting(setting)) continue;
    RawValue raw = raw_value(value);
    if (std::holds_alternative<RawValue::None>(raw.content)) continue;
    Given given{setting, std::move(raw),
                value.line == 0 ? shown : fmt::format("{}:{}", shown, value.line),
                value.name + " = "};
    if (setting->scope != Scope::kInvocation) {
      layer.push_back(std::move(given));
    } else if (!is_off(given.raw)) {
      problems.add(given.prefix() + "this is an option of the command line, not of a file");
    }
  }
  layers.arbiter = layer;
  layers.pools.push_back({std::string(kOnlyPool), shown, std::move(layer)});
  return layers;
}

}  // namespace corn::config
