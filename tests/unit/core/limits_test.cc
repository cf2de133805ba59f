// SPDX-License-Identifier: Apache-2.0
// What bounds the decision core under load.
#include <gtest/gtest.h>

#include <algorithm>

#include "arbiterd/core/supervisor.h"

namespace corn::core {
namespace {

constexpr std::uint32_t kIdle = 200;
constexpr TimePoint kNow{std::chrono::hours(1)};

PoolSpec pool_of(std::uint32_t workers) {
  PoolSpec spec;
  spec.name = "web";
  spec.workers = workers;
  return spec;
}

std::vector<Reply> replies_of(const Actions& actions) {
  std::vector<Reply> replies;
  for (const Action& action : actions) {
    if (const auto* reply = std::get_if<Reply>(&action)) replies.push_back(*reply);
  }
  return replies;
}

TEST(CoreLimits, CommandsThatWaitAreBounded) {
  Supervisor supervisor(1);
  std::ignore = supervisor.on_event(Start{{pool_of(1)}}, kNow);
  std::uint64_t id = 0;
  std::vector<Reply> replies;
  // Half of them wait for a reload, half for a worker that never becomes ready.
  while (replies.empty() && id < 5000) {
    ++id;
    const Command command =
        id % 2 == 0 ? Command(ReloadCommand{}) : Command(ScaleCommand{"", false, 2});
    replies = replies_of(supervisor.on_event(CommandReceived{CommandId{id}, command}, kNow));
  }
  ASSERT_EQ(replies.size(), 1U);
  EXPECT_EQ(id, 1025U);
  EXPECT_EQ(replies[0].code, ReplyCode::kUnavailable);
  EXPECT_EQ(replies[0].id, CommandId{1025});

  const Actions stopping =
      supervisor.on_event(CommandReceived{CommandId{}, ShutdownCommand{}}, kNow);
  EXPECT_EQ(replies_of(stopping).size(), 1024U);
}

TEST(CoreLimits, TwoHundredIdleWorkersShareTheirInspections) {
  Supervisor supervisor(1);
  std::ignore = supervisor.on_event(Start{{pool_of(kIdle)}}, kNow);
  TimePoint now = kNow;
  for (std::uint64_t id = 1; id <= kIdle; ++id) {
    now += std::chrono::milliseconds(15);
    std::ignore = supervisor.on_event(Spawned{WorkerId{id}, static_cast<pid_t>(id)}, now);
    std::ignore = supervisor.on_event(WorkerReady{WorkerId{id}}, now);
  }
  EXPECT_EQ(supervisor.snapshot().pools.at(0).ready, kIdle);

  int wake_ups = 0;
  const TimePoint end = now + std::chrono::minutes(10);
  for (auto due = supervisor.next_deadline(); due && *due < end; due = supervisor.next_deadline()) {
    ++wake_ups;
    now = *due;
    for (const Action& action : supervisor.on_event(DeadlineReached{}, now)) {
      const auto* inspect = std::get_if<InspectWorker>(&action);
      ASSERT_NE(inspect, nullptr);
      Inspected seen;
      seen.worker = inspect->worker;
      seen.beat = now - std::chrono::seconds(10);
      EXPECT_TRUE(supervisor.on_event(seen, now).empty());
    }
  }
  // A look every 20 s would be 30.
  EXPECT_LE(wake_ups, 45);
}

TEST(CoreLimits, ScalingToTheLimitSpawnsEveryWorkerAtOnce) {
  Supervisor supervisor(1);
  std::ignore = supervisor.on_event(Start{{pool_of(1)}}, kNow);
  const Actions actions = supervisor.on_event(
      CommandReceived{CommandId{1}, ScaleCommand{"", false, kMaxWorkers}}, kNow);
  const auto spawns = std::ranges::count_if(
      actions, [](const Action& action) { return std::holds_alternative<SpawnWorker>(action); });
  EXPECT_EQ(spawns, kMaxWorkers - 1);
}

}  // namespace
}  // namespace corn::core
