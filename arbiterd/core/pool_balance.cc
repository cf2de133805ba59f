// SPDX-License-Identifier: Apache-2.0
// From what is there towards what is wanted. Each function here looks at the counts alone, and
// calling it twice orders nothing the second time.
#include <fmt/core.h>

#include <algorithm>
#include <tuple>

#include "arbiterd/core/pool.h"

namespace corn::core {
namespace {

std::uint32_t missing(std::uint32_t wanted, std::uint32_t there) {
  return wanted > there ? wanted - there : 0;
}

}  // namespace

void Pool::balance(Turn& turn) {
  spawn_blocked_until_.reset();
  if (!wants_workers()) return;
  note_first_boot();
  if (exclusive()) {
    balance_exclusive(turn);
  } else if (rollout_) {
    balance_rollout(turn);
  }
  if (!exclusive() && !rollout_) balance_overlap(turn);
  if (const auto stable = stable_at(); stable && *stable <= turn.now()) recover(turn);
  const Count all = count(wanted(), true);
  if (all.total() >= target_ + count_granted()) vacancies_.clear();
  started_ =
      started_ || all.ready >= target_ || first_boot_failed_ || (ever_ready_ && all.booting == 0);
}

void Pool::note_first_boot() {
  if (ever_ready_ || rollout_ || first_failures_ == 0) return;
  first_boot_failed_ = first_boot_failed_ || count(committed_, true).booting == 0;
}

bool Pool::exclusive() const {
  return spec_->handover == Handover::kExclusive ||
         (rollout_ && rollout_->spec->handover == Handover::kExclusive);
}

std::uint32_t Pool::surge() const {
  const PoolSpec& spec = rollout_ ? *rollout_->spec : *spec_;
  const std::uint64_t count =
      spec.reload_surge_percent
          ? (static_cast<std::uint64_t>(target_) * spec.reload_surge + 99) / 100
          : spec.reload_surge;
  return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(count, 1, kMaxWorkers));
}

std::uint32_t Pool::quarter() const { return (target_ + 3) / 4; }

std::uint32_t Pool::count_granted() const {
  return static_cast<std::uint32_t>(std::ranges::count_if(workers_, [](const auto& entry) {
    return entry.second.state == WorkerState::kReady && entry.second.replacement_granted;
  }));
}

Worker* Pool::first_wish(bool granted) {
  Worker* first = nullptr;
  for (auto& [id, worker] : workers_) {
    if (worker.state != WorkerState::kReady || !worker.wish || worker.generation != committed_ ||
        worker.replacement_granted != granted) {
      continue;
    }
    if (first == nullptr || worker.wish_order < first->wish_order) first = &worker;
  }
  return first;
}

Worker* Pool::first_to_retire(Generation generation, bool of_this_generation, bool ready_only) {
  const auto rank = [this](const Worker& worker) {
    const bool ready = worker.state == WorkerState::kReady;
    // Of those that boot, the one that has come least far; of those that serve, the oldest.
    return std::tuple(ready, worker.generation == wanted(), worker.generation == committed_,
                      !worker.wish.has_value(), ready ? worker.age : ~worker.age);
  };
  Worker* first = nullptr;
  for (auto& [id, worker] : workers_) {
    if ((worker.generation == generation) != of_this_generation || !worker.staying()) continue;
    if (ready_only && worker.state != WorkerState::kReady) continue;
    if (first == nullptr || rank(worker) < rank(*first)) first = &worker;
  }
  return first;
}

void Pool::balance_overlap(Turn& turn) {
  // More are ready than wanted: first what a failed roll-out left behind, then those whose
  // replacement is there.
  for (std::uint32_t ready = count_ready(); ready > target_; --ready) {
    if (Worker* leftover = first_to_retire(committed_, false, true)) {
      drain(*leftover, Cause::kReloaded, "its generation was abandoned", false, turn);
    } else if (Worker* replaced = first_wish(true)) {
      drain(*replaced, *replaced->wish, "others are ready in its place", false, turn);
    } else {
      break;
    }
  }
  while (count(committed_, true).total() > target_ + count_granted()) {
    retire(*first_to_retire(committed_, true, false), Cause::kScaledDown,
           fmt::format("the target is {}", target_), turn);
  }
  std::uint32_t granted = count_granted();
  for (Worker* next = nullptr; granted < quarter() && (next = first_wish(false)); ++granted) {
    next->replacement_granted = true;
    vacate(*next, *next->wish);
  }
  const std::uint32_t own = count(committed_, true).total();
  const std::uint32_t leftovers = count(committed_, false).total();
  const std::uint32_t extra = leftovers > 0 ? std::max(granted, quarter()) : granted;
  const std::uint32_t lacking =
      std::min(missing(target_ + granted, own), missing(target_ + extra, own + leftovers));
  spawn(committed_, spawnable(committed_, lacking, turn.now()), turn);
}

void Pool::balance_rollout(Turn& turn) {
  const Generation trial = rollout_->generation;
  // As many must be able to serve; and as many old ones stay: a smaller target that is itself on
  // trial retires nobody yet.
  const std::uint32_t floor = std::min(rollout_->old_target, target_);
  const std::uint32_t keep = rollout_->target_from_settings ? rollout_->old_target : floor;
  while (count(trial, true).total() > target_) {
    retire(*first_to_retire(trial, true, false), Cause::kScaledDown,
           fmt::format("the target is {}", target_), turn);
  }
  const bool scaled_down = target_ < rollout_->old_target;
  while (count(trial, false).total() > keep) {
    retire(*first_to_retire(trial, false, false),
           scaled_down ? Cause::kScaledDown : Cause::kReloaded,
           scaled_down ? fmt::format("the target is {}", target_)
                       : fmt::format("generation {} is coming", trial),
           turn);
  }

  Count fresh = count(trial, true);
  Count old = count(trial, false);
  // An old worker that still boots is of no use once new ones serve in its place.
  for (; old.booting > 0 && old.ready + fresh.ready >= floor; --old.booting) {
    retire(*first_to_retire(trial, false, false), Cause::kReloaded,
           fmt::format("generation {} is ready in its place", trial), turn);
  }
  if (surge() < target_ && fresh.ready > 0) {
    for (std::uint32_t ready = count_ready(); ready > target_; --ready) {
      Worker* oldest = first_to_retire(trial, false, true);
      if (oldest == nullptr) break;
      drain(*oldest, Cause::kReloaded, fmt::format("generation {} is ready in its place", trial),
            false, turn);
      --old.ready;
    }
  }
  if (committed_ != 0) {
    spawn(committed_, spawnable(committed_, missing(floor, old.total() + fresh.ready), turn.now()),
          turn);
    old = count(trial, false);
  }
  const std::uint32_t room =
      missing(std::max(target_, keep) + surge(), old.total() + fresh.total());
  spawn(trial, spawnable(trial, std::min(missing(target_, fresh.total()), room), turn.now()), turn);

  if (fresh.ready >= target_) commit_rollout(turn);
}

void Pool::balance_exclusive(Turn& turn) {
  if (rollout_) {
    while (count(wanted(), false).booting > 0) {
      retire(*first_to_retire(wanted(), false, false), Cause::kReloaded,
             fmt::format("generation {} is coming", wanted()), turn);
    }
    if (count(wanted(), true).ready >= target_) commit_rollout(turn);
  }
  while (count(wanted(), true).total() + count(wanted(), false).total() > target_) {
    Worker* victim = first_to_retire(wanted(), false, false);
    if (victim == nullptr) victim = first_to_retire(wanted(), true, false);
    retire(*victim, Cause::kScaledDown, fmt::format("the target is {}", target_), turn);
  }
  for (std::uint32_t gone = missing(target_, count_ready()); gone < quarter(); ++gone) {
    if (Worker* old = rollout_ ? first_to_retire(wanted(), false, true) : nullptr) {
      drain(*old, Cause::kReloaded, fmt::format("generation {} takes its place", wanted()), false,
            turn);
    } else if (Worker* next = first_wish(false)) {
      vacate(*next, *next->wish);
      drain(*next, *next->wish, "makes room for its replacement", false, turn);
    } else {
      break;
    }
  }
  // Whoever has not ended yet still holds its place.
  const auto there = static_cast<std::uint32_t>(workers_.size());
  spawn(wanted(), spawnable(wanted(), missing(target_, there), turn.now()), turn);
}

Backoff& Pool::backoff_of(Generation generation) {
  return rollout_ && generation == rollout_->generation ? rollout_->backoff : backoff_;
}

std::uint32_t Pool::spawnable(Generation generation, std::uint32_t missing_count, TimePoint now) {
  const Count there = count(generation, true);
  if (generation == committed_ && !ever_ready_ && !first_boot_failed_) {
    // Whether the first generation can boot at all is found out by letting each of its workers try
    // once, before any is tried again.
    missing_count = std::min(missing_count, missing(target_, there.total() + first_failures_));
  }
  if (missing_count == 0) return 0;
  const Backoff& backoff = backoff_of(generation);
  if (backoff.until() > now) {
    spawn_blocked_until_ =
        std::min(spawn_blocked_until_.value_or(backoff.until()), backoff.until());
    return 0;
  }
  if (!backoff.probing()) return missing_count;
  return there.booting > 0 ? 0 : 1;
}

void Pool::spawn(Generation generation, std::uint32_t count, Turn& turn) {
  const bool on_trial = generation != committed_;
  const std::shared_ptr<const PoolSpec>& spec = on_trial ? rollout_->spec : spec_;
  for (std::uint32_t i = 0; i < count; ++i) {
    Worker worker;
    worker.id = ids_.next();
    worker.age = ++last_age_;
    worker.generation = generation;
    worker.spec = spec;
    worker.spawned_at = turn.now();
    if (spec->boot_timeout > Duration::zero()) {
      worker.boot_deadline = turn.now() + spec->boot_timeout;
    }
    if (on_trial) {
      worker.spawn_reason = fmt::format("generation {}", generation);
    } else if (!vacancies_.empty()) {
      worker.spawn_reason = std::move(vacancies_.front());
      vacancies_.pop_front();
    } else {
      worker.spawn_reason = ever_ready_ ? fmt::format("the target is {}", target_) : "start";
    }
    turn.order(SpawnWorker{worker.id, name_, generation, worker.age, target_, worker.spawn_reason});
    workers_.emplace(worker.id, std::move(worker));
  }
}

void Pool::vacate(const Worker& worker, Cause cause) {
  if (vacancies_.size() >= kMaxWorkers) vacancies_.pop_front();
  vacancies_.push_back(worker.pid != 0
                           ? fmt::format("replaces {} ({})", worker.pid, name_of(cause))
                           : fmt::format("replaces one that never started ({})", name_of(cause)));
}

}  // namespace corn::core
