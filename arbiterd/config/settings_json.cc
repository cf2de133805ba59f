// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/config/settings_json.h"

#include <nlohmann/json.hpp>

#include "arbiterd/config/schema.h"

namespace corn::config {
namespace {

using Json = nlohmann::ordered_json;

Json thousandths(std::int64_t value) {
  if (value % 1000 == 0) return value / 1000;
  return static_cast<double>(value) / 1000.0;
}

Json dictionary(const std::vector<std::string>& entries) {
  Json result = Json::object();
  for (const std::string& entry : entries) {
    const std::size_t equals = entry.find('=');
    result[entry.substr(0, equals)] = entry.substr(equals + 1);
  }
  return result;
}

Json json_of(Kind kind, const Value& value) {
  if (!value.is_set()) return kind == Kind::kObject ? Json::object() : Json(nullptr);
  switch (kind) {
    case Kind::kSwitch:
      return value.on();
    case Kind::kWhole:
    case Kind::kBytes:
    case Kind::kMask:
      return value.number();
    case Kind::kSeconds:
    case Kind::kFraction:
      return thousandths(value.number());
    case Kind::kText:
    case Kind::kChoice:
    case Kind::kSurge:
    case Kind::kHook:
      return value.text();
    case Kind::kTextList:
    case Kind::kCommaList:
      return value.list();
    case Kind::kDictionary:
      return dictionary(value.list());
    case Kind::kObject: {
      Json object = Json::parse(value.text(), nullptr, /*allow_exceptions=*/false);
      return object.is_discarded() ? Json(value.text()) : object;
    }
  }
  CORN_CHECK(false);
}

}  // namespace

std::string settings_json(const InForceByName& pool, const InForceByName& arbiter,
                          const PoolSettings& settled) {
  Json result = Json::object();
  for (const Setting& setting : schema()) {
    if (setting.kind == Kind::kHook || setting.scope == Scope::kInvocation) continue;
    const InForceByName& source = for_pool(setting) ? pool : arbiter;
    const auto found = source.find(setting.name);
    const Value value = found == source.end() ? default_value(setting) : found->second.value;
    result[std::string(setting.name)] = json_of(setting.kind, value);
  }
  result["chdir"] = settled.worker.working_directory;
  result["bind"] = settled.binds;
  // Names that a file gives need not be UTF-8.
  return result.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace corn::config
