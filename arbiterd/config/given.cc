// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/config/given.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "arbiterd/config/check.h"
#include "arbiterd/config/text.h"

namespace corn::config {
namespace {

constexpr std::size_t kMostProblems = 20;

// The value of a refused setting that asks for nothing: its default, or no value at all.
bool asks_for_nothing(const Setting& setting, const RawValue& raw) {
  if (std::holds_alternative<RawValue::None>(raw.content)) return true;
  if (const auto* table = std::get_if<RawValue::Table>(&raw.content); table && table->empty()) {
    return true;
  }
  const base::Result<Value> value = check(setting, raw);
  return value && *value == default_value(setting);
}

std::optional<Value> accepted(const Given& given, Problems& problems) {
  const Setting& setting = *given.setting;
  if (setting.support == Support::kRefused) {
    if (asks_for_nothing(setting, given.raw)) return std::nullopt;
    problems.add(fmt::format("{}refused: {}", given.prefix(), setting.reason));
    return std::nullopt;
  }
  base::Result<Value> value = check(setting, given.raw);
  if (!value) {
    problems.add(given.prefix() + value.error().message);
    return std::nullopt;
  }
  return value->is_set() ? *std::move(value) : default_value(setting);
}

// gunicorn's words for it; every other means no.
bool means_yes(const std::string& text) {
  const std::string word = lowercase(text);
  return word == "y" || word == "1" || word == "yes" || word == "true";
}

// The default that the environment gives; nullopt where it gives none.
std::optional<Given> from_environment(const Setting& setting,
                                      const std::map<std::string, std::string>& environment) {
  const bool listener = setting.name == "bind";
  const std::string variable(listener ? "PORT" : setting.environment);
  const auto found = environment.find(variable);
  if (variable.empty() || found == environment.end() || found->second.empty()) return std::nullopt;
  Given given{&setting, RawValue{(listener ? "0.0.0.0:" : "") + found->second},
              "environment variable " + variable, std::string(setting.name) + " = "};
  if (setting.kind == Kind::kSwitch) given.raw.content = means_yes(found->second);
  return given;
}

}  // namespace

std::string Given::prefix() const {
  const bool is_bare_flag = spelling.starts_with("-") && !spelling.ends_with(' ');
  return fmt::format("{}: {}{}: ", origin, spelling, is_bare_flag ? "" : raw.text());
}

void Problems::add(std::string text) {
  if (std::find(texts_.begin(), texts_.end(), text) == texts_.end()) {
    texts_.push_back(std::move(text));
  }
}

base::Error Problems::error() const {
  std::string all;
  for (std::size_t i = 0; i < texts_.size() && i < kMostProblems; ++i) {
    if (i > 0) all += '\n';
    all += texts_[i];
  }
  if (texts_.size() > kMostProblems) {
    all += fmt::format("\n... and {} more", texts_.size() - kMostProblems);
  }
  return base::Error{all};
}

InForceByName merge(const std::vector<const Layer*>& layers, bool (*wanted)(const Setting&),
                    const std::map<std::string, std::string>& environment, Problems& problems) {
  InForceByName in_force;
  for (const Layer* layer : layers) {
    for (const Given& given : *layer) {
      if (!wanted(*given.setting)) continue;
      if (std::optional<Value> value = accepted(given, problems)) {
        in_force[given.setting->name] = {*std::move(value), given.origin, given.prefix()};
      }
    }
  }
  for (const Setting& setting : schema()) {
    if (!wanted(setting) || setting.support == Support::kRefused) continue;
    if (in_force.contains(setting.name)) continue;
    const std::optional<Given> given = from_environment(setting, environment);
    std::optional<Value> value = given ? accepted(*given, problems) : std::nullopt;
    in_force[setting.name] = value ? InForce{*std::move(value), given->origin, given->prefix()}
                                   : InForce{default_value(setting), "default", ""};
  }
  return in_force;
}

}  // namespace corn::config
