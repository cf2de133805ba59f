// SPDX-License-Identifier: Apache-2.0
// The ways in which a worker of a pool is told to go, each with a deadline behind it.
#include <fmt/core.h>

#include <algorithm>

#include "arbiterd/core/pool.h"
#include "arbiterd/core/watch.h"
#include "arbiterd/core/worker_fsm.h"

namespace corn::core {
namespace {

// Past the grace of a drain: the worker cuts what is left at its grace, and needs a moment to exit.
constexpr Duration kDrainMargin = std::chrono::seconds(1);
// From SIGQUIT, or SIGTERM to a worker that boots, to SIGKILL.
constexpr Duration kQuitGrace = std::chrono::seconds(2);

}  // namespace

void Pool::drain(Worker& worker, Cause cause, const std::string& reason, bool empty_backlog,
                 Turn& turn) {
  const Duration grace = worker.spec->graceful_timeout;
  const auto next = next_state(worker.state, WorkerFact::kToldToDrain);
  const bool news = empty_backlog && !worker.told_last;
  worker.told_last |= empty_backlog;
  if (!next) {
    // One that drains already must not hand its connections to workers that go as well.
    if (news && worker.state == WorkerState::kDraining) {
      turn.order(DrainWorker{worker.id, grace, true, *worker.end_cause});
    }
    return;
  }
  worker.state = *next;
  worker.end_cause = cause;
  worker.end_reason = reason;
  worker.lifetime_deadline.reset();
  worker.kill_at = turn.now() + grace + kDrainMargin;
  publish(RecordKind::kWorkerDraining, &worker, reason, turn, cause);
  turn.order(DrainWorker{worker.id, grace, empty_backlog, cause});
}

void Pool::put_down(Worker& worker, KillSignal signal, Cause cause, const std::string& reason,
                    Turn& turn) {
  if (const auto next = next_state(worker.state, WorkerFact::kPutDown)) {
    worker.state = *next;
    worker.end_cause = cause;
    worker.end_reason = reason;
    worker.boot_deadline.reset();
    worker.inspection_at.reset();
    worker.lifetime_deadline.reset();
  } else if (signal != KillSignal::kKill || worker.kill_sent) {
    return;  // it has been told as much already
  }
  // An earlier deadline, of a drain, stands.
  const TimePoint earlier = worker.kill_at.value_or(TimePoint::max());
  switch (signal) {
    case KillSignal::kTerm:
    case KillSignal::kQuit:
      worker.kill_at = std::min(earlier, turn.now() + kQuitGrace);
      break;
    case KillSignal::kAbort:
      worker.kill_at = std::min(earlier, turn.now() + kAbortGrace);
      break;
    case KillSignal::kKill:
      worker.kill_at.reset();
      worker.kill_sent = true;
      break;
  }
  turn.order(KillWorker{worker.id, signal, *worker.end_cause, reason});
}

// Some of its threads hang, others don't: what those have to do is done first. Should it not end by
// itself after that, the deadline of a drain stands behind it.
void Pool::end_overdue(Worker& worker, const Verdict& verdict, Turn& turn) {
  const Duration grace = worker.spec->graceful_timeout;
  const TimePoint earlier = worker.kill_at.value_or(TimePoint::max());
  worker.kill_at = std::min(earlier, turn.now() + grace + kDrainMargin);
  worker.end_cause = verdict.cause;
  worker.end_reason = verdict.reason;
  worker.lifetime_deadline.reset();
  if (const auto next = next_state(worker.state, WorkerFact::kToldToDrain)) {
    worker.state = *next;
    publish(RecordKind::kWorkerDraining, &worker, "its other requests are finished first", turn,
            verdict.cause);
  }
  turn.order(EndOverdueRequests{worker.id, worker.spec->request_timeout, grace, verdict.cause});
}

// It boots as far as is known, but may have become ready just now and have requests already. So it
// is told to drain, which a worker that boots does by exiting.
void Pool::call_off(Worker& worker, Cause cause, const std::string& reason, Turn& turn) {
  worker.called_off = worker.told_last = true;
  put_down(worker, KillSignal::kTerm, cause, reason, turn);
}

void Pool::ready_though_called_off(Worker& worker, Turn& turn) {
  if (!worker.called_off || worker.kill_sent || worker.state != WorkerState::kStopping) return;
  worker.called_off = false;
  worker.state = WorkerState::kDraining;
  worker.ready_at = turn.now();
  begin_watch(worker, turn.now());
  worker.kill_at = turn.now() + worker.spec->graceful_timeout + kDrainMargin;
}

void Pool::retire(Worker& worker, Cause cause, const std::string& reason, Turn& turn,
                  bool nobody_left) {
  switch (worker.state) {
    case WorkerState::kBooting:
      call_off(worker, cause, reason, turn);
      return;
    case WorkerState::kReady:
      drain(worker, cause, reason, nobody_left, turn);
      return;
    case WorkerState::kDraining:
      if (nobody_left) drain(worker, cause, reason, true, turn);
      return;
    case WorkerState::kStopping:
      return;
  }
}

void Pool::kill_overdue(Worker& worker, Turn& turn) {
  // Why it was told to go stays its cause; that it had to be killed is said beside it.
  const std::string reason = worker.end_reason + "; still there after its grace";
  put_down(worker, KillSignal::kKill, *worker.end_cause, reason, turn);
}

void Pool::boot_overdue(Worker& worker, Turn& turn) {
  const std::string reason =
      fmt::format("not ready within boot_timeout ({})", to_text(worker.spec->boot_timeout));
  publish(RecordKind::kWorkerStuck, &worker, reason, turn, Cause::kBootTimeout);
  vacate(worker, Cause::kBootTimeout);
  put_down(worker, KillSignal::kAbort, Cause::kBootTimeout, reason, turn);
  note_boot_failure(worker, base::BootFailure::kWorker, "a worker was " + reason, turn);
}

void Pool::wish_to_retire(Worker& worker, Cause cause, const std::string& reason, Turn& turn) {
  worker.wish = cause;
  worker.wish_order = ++last_wish_;
  publish(RecordKind::kWorkerRetiring, &worker, reason, turn, cause);
}

void Pool::sleep(Turn& turn) {
  if (dormant_) return;
  // A pool that a reload was adding has no generation to come back with; the next reload adds it.
  cancel_rollout("dormant (WINCH)", turn);
  if (removed_) return;
  dormant_ = true;
  // Whether it can boot is found out anew when it wakes.
  first_boot_failed_ = false;
  first_failures_ = 0;
  first_failure_.reset();
  abort_waiters("overtaken: all workers are being stopped (WINCH)", turn);
  for (auto& [id, worker] : workers_) {
    retire(worker, Cause::kScaledDown, "dormant (WINCH)", turn, true);
  }
}

std::vector<WorkerId> Pool::remove(const std::string& reason, Turn& turn) {
  removed_ = true;
  abort_waiters(fmt::format("pool {}: {}", name_, reason), turn);
  std::vector<WorkerId> leaving;
  for (auto& [id, worker] : workers_) {
    retire(worker, Cause::kReloaded, reason, turn, true);
    leaving.push_back(id);
  }
  return leaving;
}

void Pool::stop(bool quick, Turn& turn) {
  stopping_ = true;
  rollout_.reset();
  waiters_.answer_all(ReplyCode::kUnavailable, "the arbiter is shutting down", turn);
  for (auto& [id, worker] : workers_) {
    if (quick) {
      put_down(worker, KillSignal::kQuit, worker.end_cause.value_or(Cause::kShutdown),
               "quick shutdown", turn);
    } else if (worker.state == WorkerState::kBooting) {
      call_off(worker, Cause::kShutdown, "shutdown", turn);
    } else {
      // Nobody is left to serve what waits in the accept queue.
      drain(worker, Cause::kShutdown, "shutdown", true, turn);
    }
  }
}

}  // namespace corn::core
