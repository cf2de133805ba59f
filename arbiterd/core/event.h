// SPDX-License-Identifier: Apache-2.0
// Events: facts that the driver tells the core. Nothing here asks for anything to be computed; a
// command is the fact that somebody asked.
#pragma once

#include <variant>

#include "arbiterd/core/types.h"

namespace corn::core {

// First event, once: the settings have been read and the listeners are bound.
struct Start {
  std::vector<PoolSpec> pools;
  WorkerId last_worker{};  // of an earlier arbiter whose workers have all ended, or 0
};

// First event in place of Start: workers are there already, and are taken over as they are. Pools
// that have none start; inherited ones that the settings no longer have retire.
struct Resume {
  std::vector<PoolSpec> pools;  // of the settings as they are now
  Inheritance inheritance;
  RecordKind kind = RecordKind::kAdopted;  // or kUpgradeSucceeded
  std::string text;                        // what happened, for a person
  bool reload = false;                     // then all pools are reloaded: code or settings are new
};

struct Spawned {
  WorkerId worker;
  pid_t pid = 0;
};
struct SpawnFailed {
  WorkerId worker;
  std::string text;  // "exec workerd: Permission denied"
};
struct WorkerReady {
  WorkerId worker;
};
struct WorkerBootFailed {
  WorkerId worker;
  base::BootFailure kind = base::BootFailure::kWorker;
  std::string text;  // with the traceback
};
// The worker reached a limit of its own (max_requests) and serves on until it is drained.
struct WorkerRetiring {
  WorkerId worker;
  Cause cause = Cause::kMaxRequests;
};
// A request inside the application.
struct RequestSeen {
  std::uint32_t thread = 0;  // id of the application thread it is in
  TimePoint start;
  std::string what;  // "METHOD target", for the record
};
// Answer to InspectWorker.
struct Inspected {
  WorkerId worker;
  TimePoint beat;  // last sign of life
  std::vector<RequestSeen> requests;
  std::uint32_t free_threads = 0;  // application threads that no request is in
  std::uint64_t sending = 0;  // answers that clients still take, the application done with them
  std::uint64_t rss = 0;      // bytes; 0: not measured
};
struct WorkerExited {
  WorkerId worker;
  ExitStatus status;
  OutOfMemory out_of_memory = OutOfMemory::kNo;
};

// ---- commands ----
struct ReloadCommand {
  std::string pool;  // empty: all
};
struct ScaleCommand {
  std::string pool;  // empty: all pools (TTIN, TTOU), which must be one for a reply
  bool relative = true;
  std::int64_t amount = 0;
};
struct StopWorkerCommand {
  WorkerId worker;
  bool now = false;  // false: replacement first, then drain. true: killed, then replaced
};
struct ShutdownCommand {
  bool quick = false;
};
struct DormantCommand {};  // WINCH
struct ReopenLogsCommand {};
struct UpgradeCommand {};  // USR2
using Command = std::variant<ReloadCommand, ScaleCommand, StopWorkerCommand, ShutdownCommand,
                             DormantCommand, ReopenLogsCommand, UpgradeCommand>;
struct CommandReceived {
  CommandId id;
  Command command;
};

// Answers to LoadSettings. Pools that exist keep their name; new ones appear, missing ones go.
struct SettingsLoaded {
  std::vector<PoolSpec> pools;
};
struct SettingsFailed {
  std::string text;
};

// Answer to CheckUpgrade. `text`: the new version, or why it can't take over.
struct UpgradeChecked {
  bool possible = false;
  std::string text;
};
// ExecUpgrade came back: this process goes on as it was.
struct UpgradeFailed {
  std::string text;
};

// Answer to ReopenLogs. `failure`: which files stay as they are, and why; empty: none.
struct LogsReopened {
  CommandId id;
  std::string failure;
};

// The time last returned by next_deadline() has come.
struct DeadlineReached {};

using Event =
    std::variant<Start, Resume, Spawned, SpawnFailed, WorkerReady, WorkerBootFailed, WorkerRetiring,
                 Inspected, WorkerExited, CommandReceived, SettingsLoaded, SettingsFailed,
                 UpgradeChecked, UpgradeFailed, LogsReopened, DeadlineReached>;

}  // namespace corn::core
