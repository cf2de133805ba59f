// SPDX-License-Identifier: Apache-2.0
#include "base/scoreboard.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <thread>

namespace corn::base {
namespace {

using std::chrono::milliseconds;

TEST(LatencyBucket, EveryLatencyLiesBelowItsBucketsBoundAndNotBelowTheOneBefore) {
  for (std::uint64_t us = 0; us < 200000; us = us < 64 ? us + 1 : us + us / 7) {
    const Duration latency = std::chrono::microseconds(us);
    const std::size_t bucket = latency_bucket(latency);
    ASSERT_LT(bucket, kLatencyBuckets);
    EXPECT_LT(latency, latency_bucket_bound(bucket)) << us;
    if (bucket > 0) {
      EXPECT_GE(latency, latency_bucket_bound(bucket - 1)) << us;
    }
  }
}

TEST(LatencyBucket, LongestLatenciesShareTheLastBucket) {
  EXPECT_EQ(latency_bucket(std::chrono::hours(1)), kLatencyBuckets - 1);
  EXPECT_EQ(latency_bucket(Duration(-5)), 0U);
}

TEST(Scoreboard, ArbiterSeesWhatTheWorkerWrites) {
  auto arbiter = ScoreboardMap::create(2);
  ASSERT_TRUE(arbiter);
  auto worker = ScoreboardMap::attach(UniqueFd(::dup(arbiter->descriptor())));
  ASSERT_TRUE(worker);
  const TimePoint start = from_nanoseconds(5'000'000'000);
  worker->slot(1).begin("POST", "/report?x=1", start);
  ScoreboardView view = arbiter->read(true);
  EXPECT_EQ(view.in_flight, 1U);
  EXPECT_EQ(view.oldest_request_start, start);
  EXPECT_EQ(view.slots[1].method, "POST");
  EXPECT_EQ(view.slots[1].target, "/report?x=1");
  worker->slot(1).end(start + milliseconds(3), true);
  view = arbiter->read(true);
  EXPECT_EQ(view.in_flight, 0U);
  EXPECT_EQ(view.requests, 1U);
  EXPECT_EQ(view.errors, 1U);
  EXPECT_EQ(view.busy_nanoseconds, 3'000'000U);
  EXPECT_EQ(view.latency[latency_bucket(milliseconds(3))], 1U);
  EXPECT_EQ(view.slots[1].target, "/report?x=1") << "stays as the last request";
}

TEST(Scoreboard, LongTargetsAreCut) {
  auto map = ScoreboardMap::create(1);
  ASSERT_TRUE(map);
  map->slot(0).begin("GET", std::string(5000, 'x'), from_nanoseconds(1));
  EXPECT_EQ(map->read(true).slots[0].target, std::string(Slot::kTargetBytes, 'x'));
}

TEST(Scoreboard, CannotBeResizedByAWorker) {
  auto map = ScoreboardMap::create(1);
  ASSERT_TRUE(map);
  EXPECT_LT(::ftruncate(map->descriptor(), 10), 0);
}

TEST(Scoreboard, OneThatCouldBeCutShortIsRefused) {
  auto map = ScoreboardMap::create(1);
  ASSERT_TRUE(map);
  constexpr std::size_t kSize = sizeof(Scoreboard) + sizeof(Slot);
  UniqueFd unsealed(::memfd_create("copy", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(::ftruncate(unsealed.get(), kSize), 0);
  ASSERT_EQ(::pwrite(unsealed.get(), &**map, kSize, 0), static_cast<ssize_t>(kSize));
  ASSERT_TRUE(ScoreboardMap::attach(UniqueFd(::dup(map->descriptor()))));
  EXPECT_FALSE(ScoreboardMap::attach(std::move(unsealed)));
}

TEST(Scoreboard, AttachingToSomethingElseFails) {
  UniqueFd fd(::memfd_create("other", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(fd.get(), sizeof(Scoreboard) + sizeof(Slot)), 0);
  EXPECT_FALSE(ScoreboardMap::attach(std::move(fd)));
  EXPECT_FALSE(ScoreboardMap::attach(UniqueFd(::memfd_create("empty", MFD_CLOEXEC))));
}

TEST(Scoreboard, ReaderNeverSeesHalfOfOneRequestAndHalfOfAnother) {
  auto map = ScoreboardMap::create(1);
  ASSERT_TRUE(map);
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    const std::string a(200, 'a');
    const std::string b(200, 'b');
    for (std::uint64_t i = 1; !stop; ++i) {
      map->slot(0).begin(i % 2 != 0 ? "A" : "B", i % 2 != 0 ? a : b, from_nanoseconds(i));
    }
  });
  for (int i = 0; i < 20000; ++i) {
    const SlotView slot = map->read(true).slots[0];
    if (slot.method.empty()) continue;  // the writer was in the way each time
    const char expected = slot.method == "A" ? 'a' : 'b';
    ASSERT_EQ(slot.target.find_first_not_of(expected), std::string::npos);
  }
  stop = true;
  writer.join();
}

}  // namespace
}  // namespace corn::base
