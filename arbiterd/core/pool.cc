// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/core/pool.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "arbiterd/core/watch.h"
#include "arbiterd/core/worker_fsm.h"

namespace corn::core {
namespace {

// How long a worker that cannot boot has for its own exit.
constexpr Duration kFailedBootGrace = std::chrono::seconds(2);

}  // namespace

Pool::Pool(std::string name, WorkerIds& ids, Jitter& jitter)
    : name_(std::move(name)), ids_(ids), jitter_(jitter) {}

void Pool::start(const PoolSpec& spec, Turn& turn) {
  spec_ = std::make_shared<PoolSpec>(spec);
  target_ = spec.workers;
  committed_ = ++last_generation_;
  turn.order(BeginGeneration{name_, committed_});
  turn.order(CommitGeneration{name_, committed_});
}

Record Pool::record_of(RecordKind kind, Worker* worker, std::string text) const {
  Record record;
  record.kind = kind;
  record.pool = name_;
  record.generation = wanted();
  record.text = std::move(text);
  if (worker != nullptr) {
    worker->last_event = record.text;
    record.worker = worker->id;
    record.pid = worker->pid;
    record.generation = worker->generation;
  }
  return record;
}

void Pool::publish(RecordKind kind, Worker* worker, std::string text, Turn& turn,
                   std::optional<Cause> cause, std::optional<ExitStatus> exit) const {
  Record record = record_of(kind, worker, std::move(text));
  record.cause = cause;
  record.exit = std::move(exit);
  turn.publish(std::move(record));
}

// The stack must have been had before the limit: what follows then must find a worker that listens.
void Pool::tell_of(Worker& worker, SlowRequest request, Turn& turn) const {
  turn.order(PublishWithStack{record_of(RecordKind::kRequestSlow, &worker, std::move(request.text)),
                              request.thread, request.left / 2});
}

Generation Pool::wanted() const { return rollout_ ? rollout_->generation : committed_; }

std::uint32_t Pool::count_ready() const {
  return static_cast<std::uint32_t>(std::ranges::count_if(
      workers_, [](const auto& entry) { return entry.second.state == WorkerState::kReady; }));
}

Pool::Count Pool::count(Generation generation, bool of_this_generation) const {
  Count count;
  for (const auto& [id, worker] : workers_) {
    if ((worker.generation == generation) != of_this_generation) continue;
    if (worker.state == WorkerState::kBooting) ++count.booting;
    if (worker.state == WorkerState::kReady) ++count.ready;
  }
  return count;
}

Worker* Pool::find(WorkerId id) {
  const auto found = workers_.find(id);
  return found == workers_.end() ? nullptr : &found->second;
}

void Pool::spawned(Worker& worker, pid_t pid, Turn& turn) {
  if (worker.pid != 0) return;
  worker.pid = pid;
  publish(RecordKind::kWorkerSpawned, &worker, worker.spawn_reason, turn);
}

void Pool::spawn_failed(Worker& worker, const std::string& text, Turn& turn) {
  const Cause cause = worker.end_cause.value_or(Cause::kBootFailed);
  const bool unasked = worker.state == WorkerState::kBooting;
  const std::string what = unasked ? "cannot be started: " + text : "never started: " + text;
  publish(RecordKind::kWorkerExited, &worker, what, turn, cause);
  // Out of the pool first: what its end means must not be ordered towards itself.
  auto ended = workers_.extract(worker.id);
  if (!unasked) return;
  vacate(worker, cause);
  note_boot_failure(worker, base::BootFailure::kWorker, what, turn);
}

void Pool::ready(Worker& worker, Turn& turn) {
  const auto next = next_state(worker.state, WorkerFact::kBecameReady);
  if (!next) {
    ready_though_called_off(worker, turn);
    return;
  }
  worker.state = *next;
  worker.ready_at = turn.now();
  worker.boot_deadline.reset();
  begin_watch(worker, turn.now());
  if (const Duration lifetime = worker.spec->max_lifetime; lifetime > Duration::zero()) {
    worker.lifetime_deadline = turn.now() + lifetime - jitter_.up_to(lifetime / 10);
  }
  ever_ready_ = true;
  first_boot_failed_ = false;
  backoff_of(worker.generation).proved();
  publish(RecordKind::kWorkerReady, &worker,
          fmt::format("ready after {}", to_text(turn.now() - worker.spawned_at)), turn);
}

void Pool::boot_failed(Worker& worker, base::BootFailure kind, const std::string& text,
                       Turn& turn) {
  const auto next = next_state(worker.state, WorkerFact::kBootFailed);
  if (!next) return;
  worker.state = *next;
  worker.end_cause = Cause::kBootFailed;
  worker.end_reason = text;
  worker.boot_deadline.reset();
  worker.kill_at = turn.now() + kFailedBootGrace;
  vacate(worker, Cause::kBootFailed);
  note_boot_failure(worker, kind, text, turn);
}

void Pool::retiring(Worker& worker, Cause cause, Turn& turn) {
  if (worker.state != WorkerState::kReady || worker.wish) return;
  wish_to_retire(worker, cause, fmt::format("asks to be replaced: {}", name_of(cause)), turn);
}

void Pool::inspected(Worker& worker, const Inspected& seen, Turn& turn) {
  if (worker.state != WorkerState::kReady && worker.state != WorkerState::kDraining) return;
  std::vector<SlowRequest> slow;
  const auto verdict = judge(worker, seen, turn.now(), slow);
  if (verdict) {
    publish(RecordKind::kWorkerStuck, &worker, verdict->reason, turn, verdict->cause);
    // Its place is filled at once, not when it has ended: a hung worker serves nobody, and its
    // stack dump takes a while.
    if (worker.state == WorkerState::kReady) vacate(worker, verdict->cause);
    if (verdict->has_other_work && worker.spec->graceful_timeout > Duration::zero()) {
      end_overdue(worker, *verdict, turn);
    } else {
      put_down(worker, KillSignal::kAbort, verdict->cause, verdict->reason, turn);
      return;
    }
  }
  for (SlowRequest& request : slow) tell_of(worker, std::move(request), turn);
  if (worker.state != WorkerState::kReady || worker.wish) return;
  if (const auto over = judge_memory(worker, seen)) {
    wish_to_retire(worker, over->cause, over->reason, turn);
  }
}

void Pool::exited(Worker& worker, const ExitStatus& status, OutOfMemory out_of_memory, Turn& turn) {
  const Cause cause = cause_of_end(worker, status, out_of_memory != OutOfMemory::kNo);
  std::string text = to_string(status);
  switch (out_of_memory) {
    case OutOfMemory::kNo:
      break;
    case OutOfMemory::kInferred:
      text += ", out of memory (inferred: the kernel's count of such kills grew)";
      break;
    case OutOfMemory::kCertain:
      text += ", out of memory (counted in the worker's own control group)";
      break;
  }
  if (worker.state == WorkerState::kBooting) text += " before it was ready";
  if (!worker.end_reason.empty()) text += ": " + worker.end_reason;
  publish(RecordKind::kWorkerExited, &worker, text, turn, cause, status);
  auto ended = workers_.extract(worker.id);
  if (wants_workers()) note_death(worker, cause, status, text, turn);
}

void Pool::expire(Turn& turn) {
  const TimePoint now = turn.now();
  bool inspect = false;
  for (auto& [id, worker] : workers_) {
    if (worker.kill_at && *worker.kill_at <= now) kill_overdue(worker, turn);
    if (worker.boot_deadline && *worker.boot_deadline <= now) boot_overdue(worker, turn);
    if (worker.lifetime_deadline && *worker.lifetime_deadline <= now) {
      worker.lifetime_deadline.reset();
      if (worker.state == WorkerState::kReady && !worker.wish) {
        wish_to_retire(worker, Cause::kMaxLifetime,
                       fmt::format("has served for {}", to_text(now - *worker.ready_at)), turn);
      }
    }
    inspect = inspect || inspection_due(worker, now);
  }
  for (auto& [id, worker] : workers_) {
    if (!inspect || !inspection_near(worker, now)) continue;
    inspection_ordered(worker, now);
    turn.order(InspectWorker{id});
  }
}

void Pool::settle(Turn& turn) {
  waiters_.settle(
      count_ready(), target_, [this](WorkerId id) { return workers_.contains(id); }, turn);
}

void Pool::abort_waiters(const std::string& why, Turn& turn) {
  waiters_.answer_all(ReplyCode::kAborted, why, turn);
}

std::optional<TimePoint> Pool::next_deadline() const {
  std::optional<TimePoint> next;
  const auto not_after = [&next](const std::optional<TimePoint>& time) {
    if (time) next = std::min(next.value_or(*time), *time);
  };
  for (const auto& [id, worker] : workers_) {
    not_after(worker.kill_at);
    not_after(worker.boot_deadline);
    not_after(worker.lifetime_deadline);
    not_after(worker.inspection_at);
  }
  not_after(spawn_blocked_until_);
  not_after(stable_at());
  return next;
}

PoolSnapshot Pool::snapshot() const {
  PoolSnapshot pool{name_, target_,   count_ready(), committed_, degraded_,
                    false, restarts_, dormant_,      removed_,   {}};
  for (const auto& [id, worker] : workers_) {
    pool.workers.push_back({id, worker.pid, worker.state, worker.generation, worker.age,
                            worker.spawned_at, worker.ready_at, worker.last_event});
    // While a roll-out lasts, two generations are what is wanted.
    if (!rollout_ && worker.state == WorkerState::kReady && worker.generation != committed_) {
      pool.mixed = true;
    }
  }
  return pool;
}

}  // namespace corn::core
