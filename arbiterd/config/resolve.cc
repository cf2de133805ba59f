// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "arbiterd/config/assemble.h"
#include "arbiterd/config/file_layers.h"
#include "arbiterd/config/invocation_layers.h"
#include "arbiterd/config/log_notes.h"
#include "arbiterd/config/settings_json.h"
#include "arbiterd/config/sources.h"

namespace corn::config {
namespace {

// Options speak of one pool; which one of several is meant, nobody can know.
void refuse_options_for_pools(const InvocationLayers& options, const FileLayers& file,
                              const std::string& shown, Problems& problems) {
  if (file.pools.size() < 2) return;
  std::string names;
  for (const Layer* layer : {&options.variable, &options.command_line}) {
    for (const Given& given : *layer) {
      if (given.setting->scope != Scope::kPool) continue;
      const std::string_view flag = long_flag(*given.setting);
      names += fmt::format("{}{} ({})", names.empty() ? "" : ", ", flag.empty() ? "APP" : flag,
                           given.origin);
    }
  }
  if (names.empty()) return;
  std::string pools;
  for (const PoolLayer& pool : file.pools) pools += (pools.empty() ? "" : ", ") + pool.name;
  problems.add(fmt::format(
      "{} has several pools ({}), so that options for a pool are ambiguous; move into the file: {}",
      shown, pools, names));
}

// What is accepted and changes nothing should not surprise whoever asked for it.
void note_settings_without_effect(const InForceByName& in_force, Settings& settings) {
  for (const Setting& setting : schema()) {
    if (setting.support != Support::kNoEffect) continue;
    const InForce& value = in_force.at(setting.name);
    if (value.value == default_value(setting)) continue;
    std::string note =
        fmt::format("{}: {} has no effect: {}", value.origin, setting.name, setting.reason);
    if (std::find(settings.notes.begin(), settings.notes.end(), note) == settings.notes.end()) {
      settings.notes.push_back(std::move(note));
    }
  }
}

// gunicorn does the same without a word.
void note_what_is_over_its_ceiling(const InForceByName& in_force, Settings& settings) {
  for (const Setting& setting : schema()) {
    if (setting.ceiling == 0) continue;
    const InForce& value = in_force.at(setting.name);
    if (!is_over_ceiling(setting, value.value)) continue;
    settings.notes.push_back(fmt::format("{}: {} is {}: {} is used, which is the most",
                                         value.origin, setting.name, value.value.number(),
                                         setting.ceiling));
  }
}

// What a template asks of its application is WSGI's.
void note_what_asgi_lacks(const InForceByName& in_force, const PoolSettings& pool,
                          Settings& settings) {
  if (pool.worker.worker_class != base::WorkerClass::kAsgi) return;
  constexpr std::string_view kName = "preload_warm_up";
  const InForce& value = in_force.at(kName);
  if (value.value == default_value(*find_setting(kName))) return;
  settings.notes.push_back(fmt::format(
      "{}: {} has no effect with the worker class asgi: warm up in the lifespan's start",
      value.origin, kName));
}

// A daemon's streams lead nowhere; outside of one the setting means nothing.
void check_inheritance(const InForceByName& in_force, const ArbiterSettings& arbiter,
                       Problems& problems) {
  const InForce& inherit = in_force.at("enable_stdio_inheritance");
  if (arbiter.daemon && inherit.value.on()) {
    problems.add(inherit.prefix +
                 "refused with daemon, whose standard streams lead nowhere; use errorlog and "
                 "capture_output");
  }
}

// The program's name in syslog, whose own end is a ':'.
std::string syslog_tag(std::string name) {
  std::replace(name.begin(), name.end(), ':', '.');
  constexpr std::size_t kLongestName = 200;
  return "gunicorn." + name.substr(0, kLongestName);
}

void settle_syslog_tags(Settings& settings) {
  ArbiterSettings& arbiter = settings.arbiter;
  if (arbiter.syslog.tag.empty()) {
    arbiter.syslog.tag =
        syslog_tag(arbiter.name.empty() ? arbiter.default_proc_name : arbiter.name);
  }
  for (PoolSettings& pool : settings.pools) {
    if (!pool.worker.syslog.tag.empty()) continue;
    pool.worker.syslog.tag =
        syslog_tag(arbiter.name.empty() ? pool.worker.application : arbiter.name);
  }
}

class Resolution {
 public:
  Resolution(const Invocation& invocation, const InvocationLayers& options, const FileLayers& file)
      : invocation_(invocation),
        options_(options),
        file_(file),
        divided_(!invocation.config_file.empty() && !invocation.python_config) {}

  Settings run(Problems& problems) {
    Settings settings;
    for (const PoolLayer& pool : file_.pools) {
      const std::string where =
          divided_ ? fmt::format("{}: [pool.{}]", pool.origin, pool.name) : "";
      add_pool(pool.name, where, &pool.layer, settings, problems);
    }
    if (file_.pools.empty()) {
      add_pool(std::string(kOnlyPool), "", nullptr, settings, problems);
    }
    const InForceByName in_force =
        merge({&file_.arbiter, &options_.variable, &options_.command_line}, for_arbiter,
              invocation_.environment, problems);
    // Paths of a gunicorn-style invocation start from its chdir, those of a TOML file's [arbiter]
    // from where arbiterd was started: its pools may have directories of their own.
    settings.arbiter = assemble_arbiter(
        in_force,
        divided_ ? invocation_.working_directory : settings.pools[0].worker.working_directory,
        problems);
    if (settings.arbiter.default_proc_name.empty()) {
      settings.arbiter.default_proc_name = settings.pools[0].worker.application;
    }
    settle_syslog_tags(settings);
    for (const InForceByName& pool : pools_in_force_) {
      check_inheritance(pool, settings.arbiter, problems);
    }
    check_binds(settings.pools, problems);
    if (invocation_.script && settings.arbiter.daemon) {
      problems.add(in_force.at("daemon").prefix +
                   "a script that runs already can't go to the background; start it with systemd, "
                   "setsid or nohup");
    }
    for (std::size_t i = 0; i < settings.pools.size(); ++i) {
      PoolSettings& pool = settings.pools[i];
      pool.worker.settings = settings_json(pools_in_force_[i], in_force, pool);
      pool.worker.script = invocation_.script;
      if (invocation_.python_config && !invocation_.script) {
        pool.worker.config_file = invocation_.config_file;
      }
    }
    return settings;
  }

 private:
  void add_pool(const std::string& name, const std::string& where, const Layer* layer,
                Settings& settings, Problems& problems) {
    // [arbiter] and a Python file's one layer give pools their defaults.
    std::vector<const Layer*> layers = {&both_};
    if (divided_) both_ = arbiter_values_for_pools();
    if (layer != nullptr) layers.push_back(layer);
    layers.push_back(&options_.variable);
    layers.push_back(&options_.command_line);
    pools_in_force_.push_back(merge(layers, for_pool, invocation_.environment, problems));
    settings.pools.push_back(
        assemble_pool(name, where, pools_in_force_.back(), invocation_, problems));
    note_settings_without_effect(pools_in_force_.back(), settings);
    note_what_is_over_its_ceiling(pools_in_force_.back(), settings);
    note_what_asgi_lacks(pools_in_force_.back(), settings.pools.back(), settings);
    std::string note = log_configuration_note(pools_in_force_.back(), settings.pools.back().worker);
    if (!note.empty()) settings.notes.push_back(std::move(note));
  }

  [[nodiscard]] Layer arbiter_values_for_pools() const {
    Layer layer;
    for (const Given& given : file_.arbiter) {
      if (given.setting->scope == Scope::kBoth) layer.push_back(given);
    }
    return layer;
  }

  const Invocation& invocation_;
  const InvocationLayers& options_;
  const FileLayers& file_;
  const bool divided_;  // the file is a TOML file, with tables
  Layer both_;
  std::vector<InForceByName> pools_in_force_;
};

}  // namespace

base::Result<Settings> resolve(const Invocation& invocation,
                               const std::optional<base::ConfigValues>& python) {
  const base::Result<InvocationLayers> options =
      invocation_layers(invocation.arguments, invocation.environment);
  if (!options) return tl::unexpected(options.error());

  Problems problems;
  FileLayers file;
  const std::string shown = shown_config_file(invocation);
  if (invocation.python_config) {
    if (python) file = python_layers(*python, shown, problems);
  } else if (!invocation.config_file.empty()) {
    base::Result<FileLayers> read = read_toml(invocation.config_file, shown, problems);
    if (!read) return tl::unexpected(read.error());
    file = *std::move(read);
  }
  refuse_options_for_pools(*options, file, shown, problems);
  Settings settings = Resolution(invocation, *options, file).run(problems);
  if (!problems.empty()) return tl::unexpected(problems.error());
  return settings;
}

Evaluation evaluation_of_file(const Invocation& invocation) {
  Evaluation evaluation;
  const auto options = invocation_layers(invocation.arguments, invocation.environment);
  if (!options) return evaluation;
  // Mistakes are told when all settings are resolved.
  Problems ignored;
  const Settings settings = Resolution(invocation, *options, FileLayers()).run(ignored);
  const base::WorkerConfig& worker = settings.pools.front().worker;
  if (worker.working_directory != invocation.working_directory) {
    evaluation.python_path.push_back(worker.working_directory);
  }
  evaluation.python_path.insert(evaluation.python_path.end(), worker.python_path.begin(),
                                worker.python_path.end());
  evaluation.virtual_env = worker.virtual_env;
  return evaluation;
}

}  // namespace corn::config
