// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "arbiterd/config/schema.h"
#include "arbiterd/config/sources.h"

namespace corn::config {
namespace {

const EffectiveValue* find_value(const std::vector<EffectiveValue>& values, std::string_view name) {
  const auto found = std::find_if(values.begin(), values.end(),
                                  [&](const EffectiveValue& value) { return value.name == name; });
  return found == values.end() ? nullptr : &*found;
}

// The pair of values of a setting in `running` and `loaded`, if they differ.
struct Difference {
  const EffectiveValue* running = nullptr;
  const EffectiveValue* loaded = nullptr;
  explicit operator bool() const { return running != nullptr; }
};

Difference difference(const std::vector<EffectiveValue>& running,
                      const std::vector<EffectiveValue>& loaded, std::string_view name) {
  const EffectiveValue* old_value = find_value(running, name);
  const EffectiveValue* new_value = find_value(loaded, name);
  if (old_value == nullptr || new_value == nullptr || old_value->value == new_value->value) {
    return {};
  }
  return {old_value, new_value};
}

bool share_a_listener(const PoolSettings& a, const PoolSettings& b) {
  return std::any_of(a.binds.begin(), a.binds.end(), [&](const std::string& bind) {
    return std::find(b.binds.begin(), b.binds.end(), bind) != b.binds.end();
  });
}

}  // namespace

std::vector<std::string> unchangeable_differences(const Settings& running, const Settings& loaded) {
  std::vector<std::string> lines;
  for (const Setting& setting : schema()) {
    if (setting.on_reload == OnReload::kRestart) {
      if (const Difference d =
              difference(running.arbiter.effective, loaded.arbiter.effective, setting.name)) {
        lines.push_back(fmt::format("{}: {} = {} takes a restart of arbiterd; {} stays in force",
                                    d.loaded->origin, setting.name, d.loaded->value,
                                    d.running->value));
      }
    }
    if (setting.on_reload != OnReload::kNewListeners) continue;
    for (const PoolSettings& old_pool : running.pools) {
      for (const PoolSettings& new_pool : loaded.pools) {
        if (old_pool.spec.name != new_pool.spec.name) continue;
        const Difference d = difference(old_pool.effective, new_pool.effective, setting.name);
        if (!d || !share_a_listener(old_pool, new_pool)) continue;
        lines.push_back(fmt::format(
            "{}: {} = {} of pool {} holds for new listeners only; those open keep {}",
            d.loaded->origin, setting.name, d.loaded->value, new_pool.spec.name, d.running->value));
      }
    }
  }
  return lines;
}

void keep_unchangeable(const Settings& running, Settings& loaded) {
  loaded.arbiter.name = running.arbiter.name;
  loaded.arbiter.default_proc_name = running.arbiter.default_proc_name;
  loaded.arbiter.control = running.arbiter.control;
  loaded.arbiter.pid_file = running.arbiter.pid_file;
  loaded.arbiter.daemon = running.arbiter.daemon;
  loaded.arbiter.worker_cgroups = running.arbiter.worker_cgroups;
  for (EffectiveValue& value : loaded.arbiter.effective) {
    if (find_setting(value.name)->on_reload != OnReload::kRestart) continue;
    if (const EffectiveValue* kept = find_value(running.arbiter.effective, value.name)) {
      value = *kept;
    }
  }
}

}  // namespace corn::config
