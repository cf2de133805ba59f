// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/core/backoff.h"

#include <gtest/gtest.h>

namespace corn::core {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(Backoff, DoublesFromATenthOfASecondToThirtySeconds) {
  Jitter jitter(7);
  Backoff backoff;
  TimePoint now(std::chrono::hours(1));
  Duration longest = milliseconds(100);
  for (int failure = 0; failure < 40; ++failure) {
    backoff.failed(now, now, jitter);
    const Duration delay = backoff.until() - now;
    EXPECT_LE(delay, longest);
    EXPECT_GT(delay, longest * 3 / 4 - milliseconds(1));
    now = backoff.until();
    longest = std::min<Duration>(longest * 2, seconds(30));
  }
}

TEST(Backoff, IsShortenedByAnAmountThatDependsOnTheSeed) {
  const TimePoint now(std::chrono::hours(1));
  const auto first_delay = [now](std::uint64_t seed) {
    Jitter jitter(seed);
    Backoff backoff;
    backoff.failed(now, now, jitter);
    return backoff.until() - now;
  };
  EXPECT_EQ(first_delay(1), first_delay(1));
  EXPECT_NE(first_delay(1), first_delay(2));
}

TEST(Jitter, StaysBelowItsLimit) {
  Jitter jitter(3);
  for (int i = 0; i < 10000; ++i) {
    const Duration delay = jitter.up_to(seconds(1));
    EXPECT_GE(delay, Duration::zero());
    EXPECT_LT(delay, seconds(1));
  }
  EXPECT_EQ(jitter.up_to(Duration::zero()), Duration::zero());
}

}  // namespace
}  // namespace corn::core
