// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "arbiterd/core/types.h"

namespace corn::core {

// A request as the last inspection saw it.
struct WatchedRequest {
  std::uint32_t thread = 0;
  TimePoint start;
  bool told_of = false;  // that it is slow
  bool overdue = false;  // over its limit, and dealt with
};

// One worker process as its pool knows it, from the order to spawn it until its end was seen. Its
// states and what leads from one to the next: worker_fsm.h.
struct Worker {
  // Constant after construction.
  WorkerId id;
  std::uint32_t age = 0;  // ordinal within the pool
  Generation generation = 0;
  std::shared_ptr<const PoolSpec> spec;  // of its generation: limits don't change under a worker
  TimePoint spawned_at;                  // when it was ordered
  std::string spawn_reason;

  WorkerState state = WorkerState::kBooting;
  pid_t pid = 0;
  std::optional<TimePoint> ready_at;
  std::string last_event;

  // Why it was told to go, from then on; the last reason counts (a worker that hangs while it
  // drains for a reload ends by time-out).
  std::optional<Cause> end_cause;
  std::string end_reason;
  bool told_last = false;        // it knows that nobody is left to take its connections
  bool kill_sent = false;        // SIGKILL is ours
  bool called_off = false;       // told to go while it booted, as far as was known
  bool failure_counted = false;  // its pool knows already that it couldn't boot

  // It is to be replaced while it serves on: why, and its place in the queue of those.
  std::optional<Cause> wish;
  std::uint64_t wish_order = 0;
  bool replacement_granted = false;  // its replacement may be spawned

  // What the last inspection told (or becoming ready, which is a sign of life).
  TimePoint beat;
  TimePoint inspected_at;
  std::vector<WatchedRequest> requests;

  // Deadlines; none: not waited for.
  std::optional<TimePoint> boot_deadline;
  std::optional<TimePoint> inspection_at;
  std::optional<TimePoint> lifetime_deadline;
  std::optional<TimePoint> kill_at;  // SIGKILL follows whatever it was told before

  // Able to serve now or soon, and not told to go.
  [[nodiscard]] bool staying() const {
    return state == WorkerState::kBooting || state == WorkerState::kReady;
  }
};

}  // namespace corn::core
