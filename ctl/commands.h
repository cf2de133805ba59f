// SPDX-License-Identifier: Apache-2.0
// What each command does, once its command line is understood. Each has its file, command_NAME.cc.
#pragma once

#include <cstdint>
#include <string>

#include "ctl/outcome.h"
#include "ctl/session.h"

namespace corn::ctl {

struct StatusArguments {
  std::string pool;  // empty: all
};
Outcome run_status(const Session& session, const StatusArguments& arguments);

struct ReloadArguments {
  std::string pool;  // empty: all
};
Outcome run_reload(const Session& session, const ReloadArguments& arguments);

struct ScaleArguments {
  std::string pool;    // empty: the only one
  std::string change;  // "+2", "-1", "4"
  bool no_wait = false;
};
Outcome run_scale(const Session& session, const ScaleArguments& arguments);

// restart, and with `now` kill.
struct StopWorkerArguments {
  std::int32_t pid = 0;
  bool now = false;
};
Outcome run_stop_worker(const Session& session, const StopWorkerArguments& arguments);

struct EventsArguments {
  bool follow = false;
  bool whole = false;       // texts with all their lines
  std::uint32_t last = 0;   // only so many of those kept; 0: all
  std::uint64_t after = 0;  // only those after this sequence number
  std::string pool;         // empty: all
};
Outcome run_events(const Session& session, const EventsArguments& arguments);

Outcome run_reopen_logs(const Session& session);

struct ShutdownArguments {
  bool quick = false;
};
Outcome run_shutdown(const Session& session, const ShutdownArguments& arguments);

struct ConfigShowArguments {
  std::string pool;      // empty: all
  bool changed = false;  // only what isn't a default
};
Outcome run_config_show(const Session& session, const ConfigShowArguments& arguments);

struct ConfigCheckArguments {
  std::string file;
  bool load = false;  // the applications too
};
Outcome run_config_check(const Session& session, const ConfigCheckArguments& arguments);

Outcome run_ls(const Session& session);
Outcome run_version(const Session& session);

struct CompletionArguments {
  std::string shell;  // "bash", "zsh", "fish"
};
Outcome run_completion(const CompletionArguments& arguments);

struct DumpArguments {
  std::int32_t pid = 0;
};
Outcome run_dump(const Session& session, const DumpArguments& arguments);

// Commands that arbiters refuse until a later version has them.
Outcome run_upgrade(const Session& session);
// Commands that this program itself doesn't have yet.
Outcome run_later(const std::string& command);

}  // namespace corn::ctl
