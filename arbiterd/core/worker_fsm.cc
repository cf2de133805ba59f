// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/core/worker_fsm.h"

#include <csignal>

namespace corn::core {
namespace {

std::optional<WorkerState> from_booting(WorkerFact fact) {
  switch (fact) {
    case WorkerFact::kBecameReady:
      return WorkerState::kReady;
    case WorkerFact::kBootFailed:
    case WorkerFact::kPutDown:
      return WorkerState::kStopping;
    case WorkerFact::kToldToDrain:
      return std::nullopt;
  }
  return std::nullopt;
}

std::optional<WorkerState> from_ready(WorkerFact fact) {
  switch (fact) {
    case WorkerFact::kToldToDrain:
      return WorkerState::kDraining;
    case WorkerFact::kPutDown:
      return WorkerState::kStopping;
    case WorkerFact::kBecameReady:
    case WorkerFact::kBootFailed:
      return std::nullopt;
  }
  return std::nullopt;
}

std::optional<WorkerState> from_draining(WorkerFact fact) {
  switch (fact) {
    case WorkerFact::kPutDown:
      return WorkerState::kStopping;
    case WorkerFact::kBecameReady:
    case WorkerFact::kBootFailed:
    case WorkerFact::kToldToDrain:
      return std::nullopt;
  }
  return std::nullopt;
}

// The end of a worker that nobody had told to go.
Cause cause_of_unasked_end(const Worker& worker, const ExitStatus& status) {
  if (!status.known) return Cause::kLost;
  if (status.signal != 0) return Cause::kCrashed;
  if (worker.state == WorkerState::kBooting) return Cause::kBootFailed;
  // It announced that it retires and went without waiting for the order.
  if (worker.wish && status.code == 0) return *worker.wish;
  return Cause::kExited;
}

}  // namespace

std::optional<WorkerState> next_state(WorkerState state, WorkerFact fact) {
  switch (state) {
    case WorkerState::kBooting:
      return from_booting(fact);
    case WorkerState::kReady:
      return from_ready(fact);
    case WorkerState::kDraining:
      return from_draining(fact);
    case WorkerState::kStopping:
      return std::nullopt;
  }
  return std::nullopt;
}

Cause cause_of_end(const Worker& worker, const ExitStatus& status, bool out_of_memory) {
  const bool foreign_signal = status.known && status.signal != 0 && !worker.kill_sent;
  if (out_of_memory && foreign_signal && status.signal == SIGKILL) return Cause::kOutOfMemory;
  switch (worker.state) {
    case WorkerState::kBooting:
    case WorkerState::kReady:
      return cause_of_unasked_end(worker, status);
    case WorkerState::kDraining:
      // Draining is done by exiting; no signal of ours makes it end.
      return foreign_signal ? Cause::kCrashed : worker.end_cause.value_or(Cause::kExited);
    case WorkerState::kStopping:
      return worker.end_cause.value_or(Cause::kExited);
  }
  return Cause::kExited;
}

bool is_unexpected(Cause cause) {
  switch (cause) {
    case Cause::kExited:
    case Cause::kCrashed:
    case Cause::kLost:
    case Cause::kOutOfMemory:
    case Cause::kBootFailed:
    case Cause::kBootTimeout:
      return true;
    case Cause::kOrphaned:
    case Cause::kTimeout:
    case Cause::kRequestTimeout:
    case Cause::kMaxRequests:
    case Cause::kMaxMemory:
    case Cause::kMaxLifetime:
    case Cause::kReloaded:
    case Cause::kScaledDown:
    case Cause::kKilledByOperator:
    case Cause::kShutdown:
      return false;
  }
  return false;
}

bool is_foreign_kill(Cause cause, const ExitStatus& status) {
  return cause == Cause::kCrashed && status.signal == SIGKILL;
}

}  // namespace corn::core
