// SPDX-License-Identifier: Apache-2.0
// Actions: orders from the core, carried out by the driver in the order given. The outcome of
// each comes back as an event.
#pragma once

#include <variant>

#include "arbiterd/core/types.h"

namespace corn::core {

// Start a worker of this generation with the settings bound to it. Answered by Spawned or
// SpawnFailed.
struct SpawnWorker {
  WorkerId worker;
  std::string pool;
  Generation generation = 0;
  std::uint32_t age = 0;
  std::uint32_t target = 1;  // the pool's target now (wsgi.multiprocess)
  std::string reason;        // "start", "replaces 4711 (crashed)"
};

// Send Drain over the worker's channel; SIGTERM stands in where the channel is gone.
struct DrainWorker {
  WorkerId worker;
  Duration grace{0};
  bool empty_backlog = false;
  Cause cause = Cause::kExited;
};

// Send EndOverdue over the worker's channel: requests that have been inside the application for
// `limit` are given up, and the worker ends once everything else is finished.
struct EndOverdueRequests {
  WorkerId worker;
  Duration limit{0};
  Duration grace{0};
  Cause cause = Cause::kRequestTimeout;
};

enum class KillSignal : std::uint8_t {
  kTerm,   // SIGTERM: a worker that boots exits at once, one that serves drains
  kQuit,   // SIGQUIT: quick exit
  kAbort,  // SIGABRT: dump stacks, then die
  kKill,
};
struct KillWorker {
  WorkerId worker;
  KillSignal signal = KillSignal::kKill;
  Cause cause = Cause::kExited;
  std::string reason;  // "silent for 30 s while in GET /report"
};

// Read the worker's scoreboard (and RSS where the pool has a memory limit); answered by Inspected.
struct InspectWorker {
  WorkerId worker;
};

// Read all settings again. Answered by SettingsLoaded or SettingsFailed, any number of turns later.
struct LoadSettings {};

// The pool's settings loaded last (at Start: the first ones) belong to this generation from now on.
struct BeginGeneration {
  std::string pool;
  Generation generation = 0;
};
// The generation is the pool's only one wanted; listeners that only older ones had are closed.
struct CommitGeneration {
  std::string pool;
  Generation generation = 0;
};
// The generation failed and is not to be spawned again; listeners that only it had are closed.
struct AbandonGeneration {
  std::string pool;
  Generation generation = 0;
};
// The pool is gone from the settings and its last worker has ended.
struct ClosePool {
  std::string pool;
};

struct Publish {
  Record record;
};
// Publish a record about a request, its text followed by the stack of the thread that it is in as
// far as that can be had within `patience`.
struct PublishWithStack {
  Record record;
  std::uint32_t thread = 0;
  Duration patience{0};
};

enum class ReplyCode : std::uint8_t {
  kDone,
  kNotFound,            // no such pool or worker
  kInvalidArgument,     // a count out of range
  kFailedPrecondition,  // a reload whose code can't boot, settings or log files that can't be read
  kUnavailable,         // shutting down
  kAborted,             // overtaken by a later command or event
};
struct Reply {
  CommandId id;
  ReplyCode code = ReplyCode::kDone;
  std::string text;          // what was done or why not, with the traceback
  std::uint32_t before = 0;  // scale: targets
  std::uint32_t after = 0;
};
// Something a waiting caller may show: "2 of 4 new workers ready".
struct Progress {
  CommandId id;
  std::string text;
  std::uint32_t ready = 0;
  std::uint32_t wanted = 0;
};
// A scale was accepted: targets are set; its Reply comes when the workers have followed.
struct Accepted {
  CommandId id;
  std::uint32_t before = 0;
  std::uint32_t after = 0;
};

// Answered by LogsReopened.
struct ReopenLogs {
  CommandId id;
};

// Find out whether the arbiter's program, as it is on disk now, can take over. Answered by
// UpgradeChecked, any number of turns later.
struct CheckUpgrade {};
// Replace this process's program, keeping everything; answered by UpgradeFailed if that fails.
struct ExecUpgrade {};

struct SetPhase {
  Phase phase = Phase::kStarting;
};

// All workers are gone (or there never were any). The last action of a run.
struct ExitArbiter {
  int status = 0;
  std::string text;  // why, when not 0
};

using Action = std::variant<SpawnWorker, DrainWorker, EndOverdueRequests, KillWorker, InspectWorker,
                            LoadSettings, BeginGeneration, CommitGeneration, AbandonGeneration,
                            ClosePool, Publish, PublishWithStack, Reply, Progress, Accepted,
                            ReopenLogs, CheckUpgrade, ExecUpgrade, SetPhase, ExitArbiter>;
using Actions = std::vector<Action>;

}  // namespace corn::core
