// SPDX-License-Identifier: Apache-2.0
// Watching a serving worker: when its scoreboard is to be read, and what is to be made of it.
//
// Nothing ticks. A worker is inspected when it could have been silent for its whole time-out,
// counted from the last sign of life that is known; the inspection usually shows a younger one, and
// the next is due one time-out after that. So a silent worker is found exactly at its time-out, and
// a healthy one costs one look in half a time-out or more.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "arbiterd/core/event.h"
#include "arbiterd/core/worker.h"

namespace corn::core {

// Why a worker must be put down, or replaced.
struct Verdict {
  Cause cause = Cause::kTimeout;
  std::string reason;           // "silent for 30 s while in GET /report"
  bool has_other_work = false;  // kRequestTimeout: there is more in it than requests over the limit
};

// A request that takes long, and what is to be told of it.
struct SlowRequest {
  std::uint32_t thread = 0;
  std::string text;
  Duration left{0};  // until its limit
};

// The worker became ready: its watch begins.
void begin_watch(Worker& worker, TimePoint now);

[[nodiscard]] bool inspection_due(const Worker& worker, TimePoint now);
// Due within a quarter of its interval: worth doing in a turn that inspects anyway, so that 200
// idle workers cost one wake-up and not 200.
[[nodiscard]] bool inspection_near(const Worker& worker, TimePoint now);
// InspectWorker was ordered. Should no answer come, it is ordered again an interval later.
void inspection_ordered(Worker& worker, TimePoint now);

// Takes what the inspection saw (a time in the future, or a request older than the worker, is
// scribble and is cut to what can be true) and sets the next one. A verdict: the worker is silent,
// or a request has come over its limit since the last one. Requests that have become slow since
// then are appended to `slow`.
std::optional<Verdict> judge(Worker& worker, const Inspected& seen, TimePoint now,
                             std::vector<SlowRequest>& slow);

// A verdict: the worker's memory passed max_memory.
std::optional<Verdict> judge_memory(const Worker& worker, const Inspected& seen);

}  // namespace corn::core
