// SPDX-License-Identifier: Apache-2.0
// A generation on trial: how it begins and the ways in which it ends. What happens in between is
// balance_rollout() and balance_exclusive().
#include <fmt/core.h>

#include "arbiterd/core/pool.h"

namespace corn::core {

void Pool::begin_rollout(const PoolSpec& spec, Turn& turn) {
  if (rollout_) abandon_rollout("overtaken by a later reload", turn);
  const bool woken = dormant_ || removed_;
  dormant_ = false;
  removed_ = false;
  rollout_end_.reset();

  Rollout rollout;
  rollout.generation = ++last_generation_;
  rollout.spec = std::make_shared<PoolSpec>(spec);
  rollout.old_target = committed_ == 0 || woken ? 0 : target_;
  rollout.target_before = target_;
  // A target that was scaled stays, unless the setting itself was changed.
  if (committed_ == 0 || spec.workers != spec_->workers) {
    target_ = spec.workers;
    rollout.target_from_settings = true;
    waiters_.target_changed(target_, turn);
  }
  rollout_ = std::move(rollout);
  publish(RecordKind::kReloadStarted, nullptr,
          fmt::format("generation {} is to replace {}", last_generation_, committed_), turn);
  turn.order(BeginGeneration{name_, last_generation_});
}

std::uint32_t Pool::rollout_ready() const {
  return rollout_ ? count(rollout_->generation, true).ready : 0;
}

std::optional<RolloutEnd> Pool::take_rollout_end() { return std::exchange(rollout_end_, {}); }

void Pool::abandon_rollout(const std::string& reason, Turn& turn) {
  const Rollout ended = std::move(*rollout_);
  rollout_.reset();
  if (ended.target_from_settings && committed_ != 0) {
    target_ = ended.target_before;
    waiters_.target_changed(target_, turn);
  }
  turn.order(AbandonGeneration{name_, ended.generation});
  for (auto& [id, worker] : workers_) {
    if (worker.generation != ended.generation || worker.state != WorkerState::kBooting) continue;
    call_off(worker, Cause::kReloaded,
             fmt::format("generation {} was abandoned: {}", ended.generation, reason), turn);
  }
}

void Pool::fail_rollout(const std::string& why, Turn& turn) {
  const Generation generation = rollout_->generation;
  publish(RecordKind::kReloadFailed, nullptr, why, turn);
  abandon_rollout("a worker failed", turn);
  rollout_end_ =
      RolloutEnd{false, fmt::format("pool {}, generation {}: {}", name_, generation, why), {}};
  // A pool that this reload added has nothing to go back to.
  if (committed_ == 0) remove("the pool was to be added, but a worker failed", turn);
}

void Pool::cancel_rollout(const std::string& reason, Turn& turn) {
  if (!rollout_) return;
  abandon_rollout(reason, turn);
  if (committed_ == 0) remove(reason, turn);
}

void Pool::commit_rollout(Turn& turn) {
  committed_ = rollout_->generation;
  spec_ = rollout_->spec;
  backoff_ = rollout_->backoff;
  rollout_.reset();
  turn.order(CommitGeneration{name_, committed_});
  RolloutEnd end{true, fmt::format("{}: generation {}", name_, committed_), {}};
  for (auto& [id, worker] : workers_) {
    if (worker.generation == committed_) continue;
    retire(worker, Cause::kReloaded, fmt::format("replaced by generation {}", committed_), turn);
    end.leaving.push_back(id);
  }
  publish(
      RecordKind::kReloadSucceeded, nullptr,
      fmt::format("generation {} serves; {} old workers finish", committed_, end.leaving.size()),
      turn);
  rollout_end_ = std::move(end);
}

}  // namespace corn::core
