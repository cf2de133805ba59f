// SPDX-License-Identifier: Apache-2.0
// The one door into the arbiter for other threads (gRPC, D-Bus). Every function may be called from
// any thread and returns at once; what it asks for happens on the loop thread. Callbacks run on the
// loop thread and must neither block nor throw: they hand the answer over to the caller's own
// thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "arbiterd/core/action.h"
#include "arbiterd/core/event.h"
#include "arbiterd/core/types.h"
#include "base/result.h"

namespace corn::driver {

using WallTime = std::chrono::system_clock::time_point;

enum class ShownState : std::uint8_t { kBooting, kReady, kBusy, kDraining, kStopping };

struct RequestStatus {
  std::uint32_t thread_id = 0;
  std::string method;
  std::string target;
  std::chrono::nanoseconds running_for{0};
};

struct WorkerStatus {
  core::WorkerId id;
  pid_t pid = 0;
  ShownState state = ShownState::kBooting;  // kBusy: ready, every application thread in a request
  core::Generation generation = 0;
  std::uint32_t age = 0;
  double age_seconds = 0;  // since it was spawned
  std::uint64_t requests = 0;
  std::uint64_t errors = 0;
  std::uint64_t in_flight = 0;
  double busy = 0;  // share of thread time spent in the application since ready, 0 to 1
  std::uint64_t rss_bytes = 0;
  std::uint64_t connections = 0;
  std::string last_event;
  std::vector<RequestStatus> active;  // requests in flight now
};

struct ListenerStatus {
  std::string address;             // "127.0.0.1:8000", "unix:/run/app.sock"
  std::uint32_t backlog_used = 0;  // connections waiting to be accepted
  std::uint32_t backlog_limit = 0;
};

struct PoolStatus {
  std::string name;
  std::string state;  // "STARTING", "SERVING", "DEGRADED", "DORMANT", "STOPPING"
  std::string application;
  std::string worker_class;
  std::uint32_t target = 0;
  std::uint32_t ready = 0;
  core::Generation generation = 0;
  bool mixed = false;
  std::vector<ListenerStatus> listeners;
  std::vector<WorkerStatus> workers;
  std::uint64_t requests_total = 0;  // dead workers included
  std::uint64_t errors_total = 0;
  std::uint64_t restarts_total = 0;
  double latency_p50_ms = 0;
  double latency_p99_ms = 0;
};

struct ArbiterStatus {
  pid_t pid = 0;
  std::string version;
  std::string instance;
  std::string state;  // "STARTING", "SERVING", "RELOADING", "DORMANT", "STOPPING"
  WallTime started_at;
  double uptime_seconds = 0;
  std::uint64_t reloads = 0;
  std::uint64_t upgrades = 0;
  std::uint64_t revision = 0;  // sequence number of the latest event
};

struct StatusSnapshot {
  ArbiterStatus arbiter;
  std::vector<PoolStatus> pools;
};

// One entry of history with its place in it. Sequence numbers start at 1 and have no gaps.
struct HistoryEvent {
  std::uint64_t sequence = 0;
  WallTime time;
  core::Record record;
};

// A setting in force and where it came from.
struct EffectiveSetting {
  std::string pool;  // empty: the arbiter's own
  std::string name;
  std::string value;   // as it would be written in TOML
  std::string origin;  // "default", "corn.toml:7", "command line", "CORN_CMD_ARGS"
};

struct CommandOutcome {
  core::ReplyCode code = core::ReplyCode::kDone;
  std::string text;
  std::uint32_t before = 0;  // scale
  std::uint32_t after = 0;
};

struct ThreadDump {
  std::uint32_t thread_id = 0;  // gettid(2)
  std::string name;
  char state = '?';          // as proc(5) has it: R, S, D, T ...
  std::string wait_channel;  // the kernel's function that it sleeps in, where the kernel tells
  std::string python_stack;  // innermost frame first
  std::string native_stack;  // the same of C and C++ code, the interpreter's included
  std::optional<RequestStatus> request;
  std::optional<RequestStatus> last_request;  // when it is in none
};

struct WorkerDump {
  // kNotFound: the worker has ended; threads may be there all the same, as they were. Else there is
  // only the text.
  core::ReplyCode code = core::ReplyCode::kDone;
  std::string text;  // what keeps the worker from answering or running, in words; may be empty
  pid_t pid = 0;
  std::vector<ThreadDump> threads;  // by id
};

struct CommandCallbacks {
  std::function<void(const core::Accepted&)> accepted;  // scale; may be empty
  std::function<void(const core::Progress&)> progress;  // reload; may be empty
  std::function<void(const CommandOutcome&)> done;      // exactly once, if the command was posted
};

// A subscriber gets events in order from the one asked for; when it can't keep up (its `deliver`
// returns false) it is dropped and must not be called again.
struct Subscription {
  std::uint64_t after_sequence = 0;  // last one the subscriber has seen; 0 with `history`: all kept
  bool follow = true;                // false: only what is kept now, then `ended`
  std::function<bool(const HistoryEvent&)> deliver;
  // No more will come. `compacted`: events after `after_sequence` are no longer kept; the text
  // names the oldest that is.
  std::function<void(core::ReplyCode code, const std::string& text)> ended;
};
using SubscriptionId = std::uint64_t;

class Door {
 public:
  virtual ~Door() = default;

  // All return false, calling nothing back, when the arbiter's queue is full or it has stopped.
  virtual bool get_status(std::function<void(const StatusSnapshot&)> done) = 0;
  virtual bool command(core::Command command, CommandCallbacks callbacks) = 0;
  // StopWorker by pid; the loop thread finds the worker. kNotFound: no worker of this arbiter has
  // it.
  virtual bool stop_worker(pid_t pid, bool now, CommandCallbacks callbacks) = 0;
  // What a worker is doing, within five seconds, in whatever state it is. kNotFound: no worker
  // of this arbiter has that pid, or it ended meanwhile. kUnavailable: too many dumps at once.
  virtual bool dump_worker(pid_t pid, std::function<void(const WorkerDump&)> done) = 0;
  virtual bool get_config(std::function<void(const std::vector<EffectiveSetting>&)> done) = 0;
  // Reads and validates a settings file as a start with `-c FILE` would, applications included when
  // `load_applications`; changes nothing.
  virtual bool check_config(std::string file, bool load_applications,
                            std::function<void(const CommandOutcome&)> done) = 0;
  virtual bool subscribe(Subscription subscription, std::function<void(SubscriptionId)> done) = 0;
  virtual bool unsubscribe(SubscriptionId id) = 0;
};

}  // namespace corn::driver
