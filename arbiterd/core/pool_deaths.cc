// SPDX-License-Identifier: Apache-2.0
// What failed boots and the ends of workers mean for their pool: back-off, degradation, recovery.
#include <fmt/core.h>

#include <algorithm>

#include "arbiterd/core/pool.h"
#include "arbiterd/core/worker_fsm.h"

namespace corn::core {
namespace {

// A death within this time of getting ready is as bad as a failed boot.
constexpr Duration kEarly = std::chrono::seconds(1);
// A worker that stays ready this long shows that the pool has recovered.
constexpr Duration kStable = std::chrono::seconds(10);
// Rounds of failures in a row that degrade a pool, whatever its restart intensity.
constexpr std::uint32_t kFailuresToDegrade = 5;
// Early deaths of new workers that fail a roll-out.
constexpr std::uint32_t kEarlyDeathsToFail = 3;

}  // namespace

void Pool::note_boot_failure(Worker& worker, base::BootFailure kind, const std::string& text,
                             Turn& turn) {
  if (worker.failure_counted || !wants_workers()) return;
  worker.failure_counted = true;
  if (rollout_ && worker.generation == rollout_->generation) {
    fail_rollout(text, turn);
    return;
  }
  if (worker.generation != committed_) return;
  if (!ever_ready_) {
    ++first_failures_;
    if (!first_failure_) first_failure_ = FirstFailure{kind, text};
  }
  count_failure(worker, text, turn);
}

void Pool::note_death(Worker& worker, Cause cause, const ExitStatus& status,
                      const std::string& text, Turn& turn) {
  if (cause == Cause::kTimeout || cause == Cause::kRequestTimeout) ++restarts_;
  if (worker.state == WorkerState::kDraining || worker.end_cause.has_value()) {
    // It was going anyway, and what a failed boot or a time-out means was noted when it was seen.
    if (cause == Cause::kBootFailed || cause == Cause::kBootTimeout) ++restarts_;
    return;
  }
  ++restarts_;
  vacate(worker, cause);
  if (!is_unexpected(cause)) return;

  const TimePoint now = turn.now();
  const PoolSpec& spec = *worker.spec;
  while (!deaths_.empty() && deaths_.front() + spec.restart_window <= now) deaths_.pop_front();
  if (spec.restart_intensity > 0) deaths_.push_back(now);
  const bool too_many = spec.restart_intensity > 0 && deaths_.size() >= spec.restart_intensity;
  const bool on_trial = rollout_ && worker.generation == rollout_->generation;
  if (too_many) {
    deaths_.pop_front();
    const std::string why = fmt::format("{} workers died within {}", spec.restart_intensity,
                                        to_text(spec.restart_window));
    degrade(why, turn);
    if (on_trial) {
      fail_rollout(why, turn);
      return;
    }
  }
  // What ended while no arbiter was there to see how says as little about the code.
  const bool foreign_kill = is_foreign_kill(cause, status) || cause == Cause::kLost;
  if (worker.state == WorkerState::kBooting && !foreign_kill) {
    note_boot_failure(worker, base::BootFailure::kWorker, "a worker " + text, turn);
    return;
  }
  const bool early = !foreign_kill && worker.ready_at && now - *worker.ready_at < kEarly;
  if (!early && !degraded_) return;
  if (on_trial && early && ++rollout_->early_deaths >= kEarlyDeathsToFail) {
    fail_rollout(fmt::format("{} new workers died within {} of getting ready, the last one {}",
                             kEarlyDeathsToFail, to_text(kEarly), text),
                 turn);
    return;
  }
  count_failure(worker, "a worker " + text, turn);
}

void Pool::count_failure(const Worker& worker, const std::string& text, Turn& turn) {
  Backoff& backoff = backoff_of(worker.generation);
  backoff.failed(worker.spawned_at, turn.now(), jitter_);
  if (backoff.failures() >= kFailuresToDegrade) {
    degrade(fmt::format("new workers failed {} times in a row", backoff.failures()), turn);
  }
  waiters_.new_workers_failed(fmt::format("pool {}: a new worker failed: {}", name_, text), turn);
  // An operator who asked for a restart has been told; the old worker serves on.
  for (auto& [id, other] : workers_) {
    if (other.state == WorkerState::kReady && other.wish == Cause::kKilledByOperator) {
      other.wish.reset();
      other.replacement_granted = false;
    }
  }
}

void Pool::degrade(const std::string& why, Turn& turn) {
  if (degraded_) return;
  degraded_ = true;
  publish(RecordKind::kPoolDegraded, nullptr, "degraded, new workers wait for back-off: " + why,
          turn);
}

void Pool::go_on_degraded(Turn& turn) {
  degrade("no worker can boot: " + (first_failure_ ? first_failure_->text : std::string()), turn);
}

bool Pool::could_not_boot() const {
  return first_boot_failed_ && !rollout_ && count(committed_, true).booting == 0;
}

// A worker that got ready after the last failure counts from then on; one that was ready before
// only if none is missing, since it says nothing about those that fail.
std::optional<TimePoint> Pool::stable_at() const {
  if ((!degraded_ && backoff_.failures() == 0) || !wants_workers()) return std::nullopt;
  const TimePoint failure = backoff_.last_failure().value_or(TimePoint::min());
  const bool complete = count_ready() >= target_;
  std::optional<TimePoint> stable;
  for (const auto& [id, worker] : workers_) {
    if (worker.state != WorkerState::kReady || worker.generation != committed_) continue;
    if (!complete && *worker.ready_at <= failure) continue;
    const TimePoint time = std::max(*worker.ready_at, failure) + kStable;
    stable = std::min(stable.value_or(time), time);
  }
  return stable;
}

void Pool::recover(Turn& turn) {
  backoff_.forget();
  deaths_.clear();
  if (!degraded_) return;
  degraded_ = false;
  publish(RecordKind::kPoolRecovered, nullptr,
          fmt::format("a worker has been ready for {}", to_text(kStable)), turn);
}

}  // namespace corn::core
