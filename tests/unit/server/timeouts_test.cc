// SPDX-License-Identifier: Apache-2.0
#include "workerd/server/timeouts.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>

namespace corn::server {
namespace {

using std::chrono::milliseconds;

base::TimePoint at(int ms) { return base::TimePoint(milliseconds(ms)); }

// Timers only name their owner; no connection is needed to keep time.
class TimeoutsTest : public ::testing::Test {
 protected:
  TimeoutsTest() {
    timeouts_.set_duration(TimeoutKind::kHeader, milliseconds(100));
    timeouts_.set_duration(TimeoutKind::kKeepAlive, milliseconds(20));
  }
  static Connection& nobody() {
    alignas(16) static char place[16];
    return *reinterpret_cast<Connection*>(place);
  }

  Timeouts timeouts_;
  Timer first_{nobody()};
  Timer second_{nobody()};
};

TEST_F(TimeoutsTest, NothingArmedHasNoDeadline) {
  EXPECT_FALSE(timeouts_.next_deadline());
  EXPECT_EQ(timeouts_.expire(at(1'000'000)), nullptr);
}

TEST_F(TimeoutsTest, DeadlinesSetFromThePastComeInTheirOrder) {
  Timer third(nobody());
  timeouts_.arm(first_, TimeoutKind::kHeader, at(50));
  timeouts_.arm_since(second_, TimeoutKind::kHeader, at(10));
  timeouts_.arm_since(third, TimeoutKind::kHeader, at(30));
  EXPECT_EQ(timeouts_.next_deadline(), at(110));
  EXPECT_EQ(timeouts_.expire(at(109)), nullptr);
  EXPECT_EQ(timeouts_.expire(at(200)), &second_);
  EXPECT_EQ(timeouts_.expire(at(200)), &third);
  EXPECT_EQ(timeouts_.expire(at(200)), &first_);
  timeouts_.set_duration(TimeoutKind::kHeader, milliseconds(0));
  timeouts_.arm_since(first_, TimeoutKind::kHeader, at(0));
  EXPECT_FALSE(first_.armed());
}

TEST_F(TimeoutsTest, NextDeadlineIsTheEarliestOverAllKinds) {
  timeouts_.arm(first_, TimeoutKind::kHeader, at(0));
  timeouts_.arm(second_, TimeoutKind::kKeepAlive, at(50));
  EXPECT_EQ(timeouts_.next_deadline(), at(70));
}

TEST_F(TimeoutsTest, ExpiresAtTheDeadlineAndNotBefore) {
  timeouts_.arm(first_, TimeoutKind::kHeader, at(0));
  EXPECT_EQ(timeouts_.expire(at(99)), nullptr);
  EXPECT_EQ(timeouts_.expire(at(100)), &first_);
  EXPECT_FALSE(first_.armed());
  EXPECT_EQ(first_.kind(), TimeoutKind::kHeader);
}

TEST_F(TimeoutsTest, ArmingAgainMovesTheDeadline) {
  timeouts_.arm(first_, TimeoutKind::kHeader, at(0));
  timeouts_.arm(second_, TimeoutKind::kHeader, at(10));
  timeouts_.arm(first_, TimeoutKind::kHeader, at(20));
  EXPECT_EQ(timeouts_.expire(at(115)), &second_);
  EXPECT_EQ(timeouts_.expire(at(115)), nullptr);
  EXPECT_EQ(timeouts_.expire(at(120)), &first_);
}

TEST_F(TimeoutsTest, DisarmedTimerNeverExpires) {
  timeouts_.arm(first_, TimeoutKind::kHeader, at(0));
  timeouts_.disarm(first_);
  timeouts_.disarm(first_);
  EXPECT_EQ(timeouts_.expire(at(1000)), nullptr);
}

TEST_F(TimeoutsTest, KindWithoutDurationIsNeverSet) {
  timeouts_.arm(first_, TimeoutKind::kSend, at(0));
  EXPECT_FALSE(first_.armed());
}

}  // namespace
}  // namespace corn::server
