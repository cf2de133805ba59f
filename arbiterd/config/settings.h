// SPDX-License-Identifier: Apache-2.0
// Settings as the rest of arbiterd uses them: validated, typed, complete. How they are named, read
// and merged is the subject of schema.h and sources.h.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "arbiterd/core/types.h"
#include "base/log.h"
#include "base/outlet_options.h"
#include "base/worker_config.h"

namespace corn::config {

// A setting in force: `value` as TOML would have it, `origin` in words ("default", "corn.toml:7",
// "gunicorn.conf.py:3", "CORN_CMD_ARGS", "command line", "environment variable PORT").
struct EffectiveValue {
  std::string name;
  std::string value;
  std::string origin;
};

struct PoolSettings {
  core::PoolSpec spec;
  // Everything a worker is told, except worker_id, generation, age, multiprocess, instance,
  // listeners, which the driver fills in for each.
  base::WorkerConfig worker;
  std::vector<std::string> binds;  // as written: "127.0.0.1:8000"
  std::uint32_t backlog = 2048;
  bool reuse_port = false;
  std::string user;  // name or number; empty: unchanged
  std::string group;
  std::optional<std::uint32_t> umask;  // unset: unchanged
  bool backlog_metric = false;         // to worker.statsd
  // With worker.report_files: absolute paths and patterns of more files whose change is a reload.
  std::vector<std::string> reload_extra_files;
  std::vector<std::string> environment;  // "NAME=VALUE", added to arbiterd's own
  std::vector<std::string> hooks;        // server hooks that are set, by name
  base::Milliseconds hook_timeout{30000};
  std::vector<EffectiveValue> effective;  // every pool setting; hooks only if set

  // Workers are forked from a template process instead of being started on their own.
  [[nodiscard]] bool uses_template() const {
    return worker.preload || worker.script || !hooks.empty();
  }
  [[nodiscard]] bool has_hook(std::string_view name) const {
    return std::find(hooks.begin(), hooks.end(), name) != hooks.end();
  }
};

struct ArbiterSettings {
  std::string name;     // --name; empty: derived
  std::string control;  // control address; empty: default socket in the runtime directory
  std::string pid_file;
  bool daemon = false;
  std::string workerd;         // path; empty: searched for
  std::string worker_cgroups;  // off, auto or the directory of a control group
  base::LogOptions log;
  base::StatsdOptions statsd;
  base::SyslogOptions syslog;
  std::string default_proc_name;  // application of the first pool, for titles
  std::vector<EffectiveValue> effective;
};

struct Settings {
  ArbiterSettings arbiter;
  std::vector<PoolSettings> pools;  // at least one; names unique
  // What whoever gave the settings should know though nothing is wrong with them, for the log.
  std::vector<std::string> notes;
};

}  // namespace corn::config
