// SPDX-License-Identifier: Apache-2.0
// The life of a worker:
//
//              became ready          told to drain
//   kBooting ---------------> kReady ---------------> kDraining
//       |                        |                        |
//       | boot failed, put down  | put down               | put down
//       +----------------------> kStopping <--------------+
//
// and from every state it may end. There is no way back: a worker told to go is never called back,
// since it may have closed its listeners already; a new one is spawned instead. A booting worker
// serves nothing as far as is known, so it is called off with SIGTERM: one that still boots exits
// at once, one that had just become ready drains, and is taken for kDraining, with the
// grace for it, when its late "ready" comes (Pool::ready_though_called_off). Every other fact in a
// state came too late or makes no sense there (its process crossed our order, or repeats itself),
// and changes nothing.
#pragma once

#include <optional>

#include "arbiterd/core/worker.h"

namespace corn::core {

enum class WorkerFact : std::uint8_t {
  kBecameReady,
  kBootFailed,  // said so itself; it exits by itself
  kToldToDrain,
  kPutDown,  // sent SIGTERM while it boots, SIGQUIT, SIGABRT or SIGKILL
};

// The state after the fact; none: the fact changes nothing.
std::optional<WorkerState> next_state(WorkerState state, WorkerFact fact);

// Why a worker ended, from what it was told before and how it ended. `out_of_memory`: the kernel's
// counters say so.
Cause cause_of_end(const Worker& worker, const ExitStatus& status, bool out_of_memory);

// True for ends that nobody ordered and that say something about the code: they count towards the
// restart intensity. Time-outs don't: they can't come faster than the time-out, and workers that
// hang together (a database away) must be replaced together.
bool is_unexpected(Cause cause);

// SIGKILL by somebody else: an operator, or a kernel out of memory that left no trace.
bool is_foreign_kill(Cause cause, const ExitStatus& status);

}  // namespace corn::core
