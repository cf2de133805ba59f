// SPDX-License-Identifier: Apache-2.0
// Passing a pool on to another arbiter, and taking one over.
#include <fmt/core.h>

#include "arbiterd/core/pool.h"
#include "arbiterd/core/watch.h"

namespace corn::core {
namespace {

// For a worker that an earlier arbiter has put down, until SIGKILL: its deadline is not known.
constexpr Duration kInheritedGrace = std::chrono::seconds(1);

// One that was put down while it booted may have been called off (Pool::call_off()), and have
// requests: unless its own time was over, or an operator wanted it gone.
bool is_called_off_for(const std::optional<Cause>& cause) {
  return cause != Cause::kBootTimeout && cause != Cause::kBootFailed &&
         cause != Cause::kKilledByOperator;
}

Worker take_over(const InheritedWorker& left, std::shared_ptr<const PoolSpec> spec, TimePoint now) {
  Worker worker;
  worker.id = left.id;
  worker.age = left.age;
  worker.generation = left.generation;
  worker.spec = std::move(spec);
  worker.spawned_at = std::min(left.spawned_at, now);
  worker.state = left.state;
  worker.pid = left.pid;
  worker.ready_at = left.ready_at;
  worker.end_cause = left.end_cause;
  worker.wish = left.wish;
  worker.last_event = "taken over from the arbiter before this one";
  switch (left.state) {
    case WorkerState::kBooting:
      // Anew: it may have been held up by its arbiter's death.
      if (worker.spec->boot_timeout > Duration::zero()) {
        worker.boot_deadline = now + worker.spec->boot_timeout;
      }
      break;
    case WorkerState::kReady:
    case WorkerState::kDraining:
      if (!worker.ready_at) worker.ready_at = worker.spawned_at;
      begin_watch(worker, now);
      break;
    case WorkerState::kStopping:
      worker.kill_at = now + kInheritedGrace;
      worker.called_off = !left.ready_at && is_called_off_for(left.end_cause);
      break;
  }
  if (left.state == WorkerState::kDraining) {
    worker.kill_at = now + worker.spec->graceful_timeout + kInheritedGrace;
  }
  const bool leaving = left.state == WorkerState::kDraining || left.state == WorkerState::kStopping;
  if (leaving) {
    worker.end_reason =
        worker.end_cause == Cause::kOrphaned ? "no arbiter had come within orphan_timeout"
        : worker.end_cause == Cause::kExited ? "told to go by a signal while it had no arbiter"
                                             : "told to go by the arbiter before this one";
  }
  if (leaving && !worker.end_cause) worker.end_cause = Cause::kReloaded;
  return worker;
}

}  // namespace

void Pool::resume(const InheritedPool& left, const std::optional<PoolSpec>& spec, Turn& turn) {
  if (spec) spec_ = std::make_shared<PoolSpec>(*spec);
  // A target that was scaled stays, unless the setting itself was changed.
  target_ = spec && spec->workers != left.configured ? spec->workers : left.target;
  last_generation_ = std::max(left.generation, left.last_generation);
  if (spec) {
    // 0: the pool was being added when its arbiter ended, and starts now.
    committed_ = left.generation != 0 ? left.generation : ++last_generation_;
    turn.order(BeginGeneration{name_, committed_});
    turn.order(CommitGeneration{name_, committed_});
  }
  last_age_ = left.last_age;
  restarts_ = left.restarts;
  dormant_ = left.dormant;
  for (const InheritedWorker& one : left.workers) {
    Worker worker = take_over(one, spec_, turn.now());
    if (worker.wish) worker.wish_order = ++last_wish_;
    if (const Duration lifetime = spec_->max_lifetime;
        lifetime > Duration::zero() && worker.state == WorkerState::kReady) {
      worker.lifetime_deadline = *worker.ready_at + lifetime - jitter_.up_to(lifetime / 10);
    }
    ever_ready_ = ever_ready_ || worker.state == WorkerState::kReady;
    workers_.emplace(worker.id, std::move(worker));
  }
  if (!spec) remove("gone from the settings", turn);
}

void Pool::hand_over(Turn& turn) {
  const std::string why = "overtaken by an upgrade, which reloads every pool";
  cancel_rollout(why, turn);
  waiters_.answer_all(ReplyCode::kAborted, why, turn);
}

InheritedPool Pool::inheritance() const {
  InheritedPool left;
  left.name = name_;
  left.configured = spec_->workers;
  // A target that is on trial with its generation isn't passed on.
  left.target = rollout_ && rollout_->target_from_settings ? rollout_->target_before : target_;
  left.generation = committed_;
  left.last_generation = last_generation_;
  left.last_age = last_age_;
  left.restarts = restarts_;
  left.dormant = dormant_;
  for (const auto& [id, worker] : workers_) {
    if (worker.pid == 0) continue;  // not started
    left.workers.push_back({id, worker.pid, worker.state, worker.generation, worker.age,
                            worker.spawned_at, worker.ready_at, worker.end_cause, worker.wish});
  }
  return left;
}

}  // namespace corn::core
