// SPDX-License-Identifier: Apache-2.0
// Value types of the decision core, shared with the driver and the control adapters.
#pragma once

#include <sys/types.h>

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/message.h"

namespace corn::core {

using base::Duration;
using base::TimePoint;

// Names a worker within an instance for ever; never reused, unlike a pid.
struct WorkerId {
  std::uint64_t value = 0;
  auto operator<=>(const WorkerId&) const = default;
};

// Names a command that wants a reply. 0: nobody waits (a signal).
struct CommandId {
  std::uint64_t value = 0;
  auto operator<=>(const CommandId&) const = default;
};

// Counts a pool's settings and code; every reload makes the next one. The first is 1.
using Generation = std::uint64_t;

enum class WorkerState : std::uint8_t {
  kBooting,   // spawned, application not loaded yet
  kReady,     // serving
  kDraining,  // told to finish what it has and exit
  kStopping,  // told to die: aborted or killed, its end not seen yet
};

// Why a worker ended. Each end has exactly one.
enum class Cause : std::uint8_t {
  kExited,   // by itself, unasked
  kCrashed,  // by a signal nobody here sent
  kLost,     // adopted, status unknown
  kOrphaned,
  kTimeout,      // silent for `timeout`
  kBootTimeout,  // not ready within `boot_timeout`; shown as boot-failed
  kRequestTimeout,
  kOutOfMemory,
  kMaxRequests,
  kMaxMemory,
  kMaxLifetime,
  kReloaded,
  kScaledDown,
  kBootFailed,
  kKilledByOperator,
  kShutdown,
};

// The contract's name: "max-requests".
const char* name_of(Cause cause);
const char* name_of(WorkerState state);
// The inverse for causes that a worker may report itself (max-requests, orphaned).
std::optional<Cause> cause_from_name(std::string_view name);

// How a process ended, as waitid(2) tells.
struct ExitStatus {
  bool known = true;  // false: not our child, status not to be had
  int code = 0;       // exit code when signal is 0
  int signal = 0;     // signal that ended it; 0: it exited
  bool core_dumped = false;
  // Nothing here is decided by these; they are for the record.
  Duration cpu_time{0};             // user and system time; known ends only
  std::uint64_t max_rss_bytes = 0;  // the most it ever had; known ends only
  std::string request{};    // "GET /report", in which it was or was last; empty: it had none
  bool in_request = false;  // it was
};
// "exited with status 3", "killed by signal SEGV (core dumped)".
std::string to_string(const ExitStatus& status);
// For sentences to people: "250 ms", "30 s", "2.5 s".
std::string to_text(Duration duration);

// Whether the kernel has killed a worker for want of memory.
enum class OutOfMemory : std::uint8_t {
  kNo,
  kInferred,  // the count of a control group grew that the worker shares with others
  kCertain,   // that of the worker's own group
};

enum class Handover : std::uint8_t { kOverlap, kExclusive };

// What the core needs to know of a pool's settings. Durations of zero mean "no limit", except
// graceful_timeout: zero leaves no grace (as in gunicorn), so that a shutdown always ends.
struct PoolSpec {
  std::string name;
  std::uint32_t workers = 1;  // configured count; 1 to kMaxWorkers
  Duration timeout = std::chrono::seconds(30);
  Duration boot_timeout = std::chrono::seconds(120);
  Duration graceful_timeout = std::chrono::seconds(30);
  Duration request_timeout{0};
  Duration request_warning{0};  // a request's time until it is told of; below request_timeout
  // Each worker's own is shortened by up to a tenth, so that not all go at once.
  Duration max_lifetime{0};
  std::uint64_t max_memory = 0;  // bytes of RSS
  // How many more than the target may exist while reloading, those that drain not counted: a
  // percentage of the target (rounded up) or a count; at least 1.
  std::uint32_t reload_surge = 100;
  bool reload_surge_percent = true;
  Handover handover = Handover::kOverlap;
  // Unexpected deaths within restart_window that degrade a pool; 0: any number is borne.
  std::uint32_t restart_intensity = 30;
  Duration restart_window = std::chrono::seconds(10);
  bool operator==(const PoolSpec&) const = default;
};

inline constexpr std::uint32_t kMaxWorkers = 1000;
// From SIGABRT (dump stacks) to SIGKILL when a worker is put down.
inline constexpr Duration kAbortGrace = std::chrono::milliseconds(250);

enum class Phase : std::uint8_t {
  kStarting,  // no pool has been ready yet
  kServing,
  kReloading,
  kDormant,  // WINCH: no workers, sockets kept
  kStopping,
};
const char* name_of(Phase phase);

// One entry of the instance's history.
enum class RecordKind : std::uint8_t {
  kWorkerSpawned,
  kWorkerReady,
  kWorkerRetiring,  // asked to be replaced, or chosen for it
  kWorkerDraining,
  kWorkerStuck,  // silent or over a request's limit; about to be put down
  kWorkerExited,
  kReloadStarted,
  kReloadSucceeded,
  kReloadFailed,
  kScaled,
  kPoolDegraded,  // restart intensity passed; back-off applies
  kPoolRecovered,
  kDormant,
  kShutdownStarted,
  kLogsReopened,
  kRefused,           // a command or signal that can't be obeyed, and why
  kUpgradeStarted,    // the new binary is about to take the process over
  kUpgradeFailed,     // the old one goes on
  kUpgradeSucceeded,  // the new one has taken over
  kAdopted,           // workers of an arbiter that is gone were taken over
  kRequestSlow,       // a request nears its limit; with the stack of its thread
};
const char* name_of(RecordKind kind);

struct Record {
  RecordKind kind = RecordKind::kWorkerSpawned;
  std::string pool;  // empty: the whole instance
  std::optional<WorkerId> worker;
  pid_t pid = 0;
  Generation generation = 0;
  std::optional<Cause> cause;      // kWorkerRetiring, kWorkerDraining, kWorkerStuck, kWorkerExited
  std::optional<ExitStatus> exit;  // kWorkerExited
  std::string text;                // what happened, for a person; tracebacks included
};

struct WorkerSnapshot {
  WorkerId id;
  pid_t pid = 0;  // 0 until spawned
  WorkerState state = WorkerState::kBooting;
  Generation generation = 0;
  std::uint32_t age = 0;  // ordinal within the pool
  TimePoint spawned_at;
  std::optional<TimePoint> ready_at;
  std::string last_event;
};

struct PoolSnapshot {
  std::string name;
  std::uint32_t target = 0;
  std::uint32_t ready = 0;
  Generation generation = 0;
  bool degraded = false;
  bool mixed = false;          // workers of more than one generation serve after a failed reload
  std::uint64_t restarts = 0;  // replacements of workers that ended unasked
  bool dormant = false;        // WINCH: no workers until it is woken
  bool leaving = false;        // gone from the settings: its last workers drain
  std::vector<WorkerSnapshot> workers;
};

// What an arbiter leaves to its successor: the one that replaces it in its own process (upgrade in
// place) or the one that comes after its death (adoption). Times are of the same monotonic clock.
struct InheritedWorker {
  WorkerId id;
  pid_t pid = 0;
  WorkerState state = WorkerState::kBooting;
  Generation generation = 0;
  std::uint32_t age = 0;
  TimePoint spawned_at;
  std::optional<TimePoint> ready_at;
  std::optional<Cause> end_cause;  // why it was told to go
  std::optional<Cause> wish;       // why it is to be replaced
  bool operator==(const InheritedWorker&) const = default;
};
struct InheritedPool {
  std::string name;
  std::uint32_t configured = 1;  // what the settings said; a target scaled away from it is kept
  std::uint32_t target = 1;
  Generation generation = 0;       // committed
  Generation last_generation = 0;  // including those that failed
  std::uint32_t last_age = 0;
  std::uint64_t restarts = 0;
  bool dormant = false;
  std::vector<InheritedWorker> workers;
  bool operator==(const InheritedPool&) const = default;
};
struct Inheritance {
  WorkerId last_worker;
  std::uint64_t reloads = 0;
  bool reloading = false;  // one was under way; it is begun anew
  std::vector<InheritedPool> pools;
  bool operator==(const Inheritance&) const = default;
};

struct Snapshot {
  Phase phase = Phase::kStarting;
  std::uint64_t reloads = 0;
  std::vector<PoolSnapshot> pools;
};

}  // namespace corn::core
