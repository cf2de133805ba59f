// SPDX-License-Identifier: Apache-2.0
// What a core makes of workers that the one before it has told to go.
#include <gtest/gtest.h>

#include <tuple>

#include "arbiterd/core/supervisor.h"

namespace corn::core {
namespace {

constexpr TimePoint kNow{std::chrono::hours(1)};
constexpr WorkerId kWorker{7};

// With one worker that was put down for `cause` before anything was heard of its being ready.
Resume with_worker_put_down(Cause cause) {
  InheritedWorker worker;
  worker.id = kWorker;
  worker.pid = 4711;
  worker.state = WorkerState::kStopping;
  worker.generation = 1;
  worker.age = 1;
  worker.spawned_at = kNow - std::chrono::seconds(5);
  worker.end_cause = cause;
  InheritedPool pool;
  pool.name = "web";
  pool.generation = pool.last_generation = 1;
  pool.last_age = 1;
  pool.workers = {worker};
  Resume resume;
  PoolSpec spec;
  spec.name = "web";
  resume.pools = {spec};
  resume.inheritance.last_worker = kWorker;
  resume.inheritance.pools = {pool};
  return resume;
}

WorkerState state_after_late_ready(Cause cause) {
  Supervisor supervisor(1);
  std::ignore = supervisor.on_event(with_worker_put_down(cause), kNow);
  std::ignore = supervisor.on_event(WorkerReady{kWorker}, kNow + std::chrono::milliseconds(10));
  const Snapshot snapshot = supervisor.snapshot();
  for (const WorkerSnapshot& worker : snapshot.pools.at(0).workers) {
    if (worker.id == kWorker) return worker.state;
  }
  return WorkerState::kBooting;
}

TEST(Succession, WhoWasCalledOffButWasReadyDrains) {
  EXPECT_EQ(state_after_late_ready(Cause::kScaledDown), WorkerState::kDraining);
  EXPECT_EQ(state_after_late_ready(Cause::kReloaded), WorkerState::kDraining);
}

TEST(Succession, WhoseTimeToBootIsOverIsNotSparedByALateReady) {
  EXPECT_EQ(state_after_late_ready(Cause::kBootTimeout), WorkerState::kStopping);
  EXPECT_EQ(state_after_late_ready(Cause::kBootFailed), WorkerState::kStopping);
  EXPECT_EQ(state_after_late_ready(Cause::kKilledByOperator), WorkerState::kStopping);
}

}  // namespace
}  // namespace corn::core
