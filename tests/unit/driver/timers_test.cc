// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/driver/timers.h"

#include <gtest/gtest.h>

#include <vector>

namespace corn::driver {
namespace {

base::TimePoint at(int nanoseconds) { return base::TimePoint(base::Duration(nanoseconds)); }

class TimersTest : public testing::Test {
 protected:
  int changes = 0;
  Timers timers{[this] { ++changes; }};
  std::vector<int> ran;
};

TEST_F(TimersTest, DueCallbacksRunInOrderOfTime) {
  timers.at(at(20), [this] { ran.push_back(20); });
  timers.at(at(10), [this] { ran.push_back(10); });
  timers.at(at(30), [this] { ran.push_back(30); });
  timers.run_due(at(20));
  EXPECT_EQ(ran, (std::vector<int>{10, 20}));
  EXPECT_EQ(timers.next(), at(30));
}

TEST_F(TimersTest, CancelledCallbackNeverRuns) {
  const auto id = timers.at(at(10), [this] { ran.push_back(10); });
  timers.cancel(id);
  timers.run_due(at(50));
  EXPECT_TRUE(ran.empty());
  EXPECT_EQ(timers.next(), std::nullopt);
}

TEST_F(TimersTest, CallbackMayAddAnotherThatIsDueAlready) {
  timers.at(at(10), [this] { timers.at(at(11), [this] { ran.push_back(11); }); });
  timers.run_due(at(15));
  EXPECT_EQ(ran, (std::vector<int>{11}));
}

TEST_F(TimersTest, EveryChangeIsTold) {
  const auto id = timers.at(at(10), [] {});
  EXPECT_EQ(changes, 1);
  timers.cancel(id);
  EXPECT_EQ(changes, 2);
  timers.cancel(id);
  EXPECT_EQ(changes, 2) << "nothing was there to cancel";
}

}  // namespace
}  // namespace corn::driver
