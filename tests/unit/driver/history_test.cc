// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/driver/history.h"

#include <gtest/gtest.h>

#include <vector>

namespace corn::driver {
namespace {

class HistoryTest : public testing::Test {
 protected:
  void append(const std::string& text) {
    core::Record record;
    record.text = text;
    history.append(std::move(record), WallTime());
  }
  Subscription follower(std::uint64_t after, bool follow = true) {
    Subscription subscription;
    subscription.after_sequence = after;
    subscription.follow = follow;
    subscription.deliver = [this](const HistoryEvent& event) {
      if (received.size() >= capacity) return false;
      received.push_back(event.sequence);
      return true;
    };
    subscription.ended = [this](core::ReplyCode code, const std::string& why) {
      ended.push_back(code);
      reason = why;
    };
    return subscription;
  }

  History history;
  std::size_t capacity = 100000;
  std::vector<std::uint64_t> received;
  std::vector<core::ReplyCode> ended;
  std::string reason;
};

TEST_F(HistoryTest, SubscriberGetsThePastThenTheFutureWithoutAGap) {
  append("one");
  append("two");
  EXPECT_NE(history.subscribe(follower(0)), 0U);
  append("three");
  EXPECT_EQ(received, (std::vector<std::uint64_t>{1, 2, 3}));
  EXPECT_TRUE(ended.empty());
}

TEST_F(HistoryTest, SubscriberResumesAfterTheLastOneSeen) {
  append("one");
  append("two");
  append("three");
  history.subscribe(follower(2));
  EXPECT_EQ(received, (std::vector<std::uint64_t>{3}));
}

TEST_F(HistoryTest, WithoutFollowOnlyThePastIsGivenAndTheStreamEnds) {
  append("one");
  EXPECT_EQ(history.subscribe(follower(0, false)), 0U);
  append("two");
  EXPECT_EQ(received, (std::vector<std::uint64_t>{1}));
  EXPECT_EQ(ended, (std::vector<core::ReplyCode>{core::ReplyCode::kDone}));
}

TEST_F(HistoryTest, ResumingBeforeTheOldestKeptIsRefusedWithItsNumber) {
  for (std::size_t i = 0; i < History::kMaxEvents + 10; ++i) append("x");
  EXPECT_EQ(history.subscribe(follower(5)), 0U);
  EXPECT_TRUE(received.empty());
  EXPECT_EQ(ended, (std::vector<core::ReplyCode>{core::ReplyCode::kInvalidArgument}));
  EXPECT_NE(reason.find("the oldest is 11"), std::string::npos) << reason;
}

TEST_F(HistoryTest, SlowSubscriberIsDroppedAndNotCalledAgain) {
  capacity = 2;
  history.subscribe(follower(0));
  for (int i = 0; i < 5; ++i) append("x");
  EXPECT_EQ(received.size(), 2U);
  EXPECT_EQ(ended.size(), 1U);
}

TEST_F(HistoryTest, OldEventsGoWhenTheirTextsTakeTooMuchMemory) {
  const std::string large(64U << 10U, 't');
  for (int i = 0; i < 200; ++i) append(large);
  history.subscribe(follower(0, false));
  EXPECT_LE(received.size() * large.size(), History::kMaxTextBytes);
  EXPECT_EQ(received.back(), 200U);
}

TEST_F(HistoryTest, CloseEndsEverySubscriptionAsUnavailable) {
  history.subscribe(follower(0));
  history.close("arbiterd has stopped");
  EXPECT_EQ(ended, (std::vector<core::ReplyCode>{core::ReplyCode::kUnavailable}));
  append("x");
  EXPECT_TRUE(received.empty());
}

TEST_F(HistoryTest, SubscribersPastTheLimitAreRefused) {
  for (std::size_t i = 0; i < History::kMaxSubscriptions; ++i) {
    ASSERT_NE(history.subscribe(follower(0)), 0U);
  }
  EXPECT_EQ(history.subscribe(follower(0)), 0U);
  EXPECT_EQ(ended, (std::vector<core::ReplyCode>{core::ReplyCode::kUnavailable}));
}

TEST_F(HistoryTest, GoesOnFromAnEarlierOne) {
  append("one");
  append("two");
  History successor;
  successor.restore(history.tail(1, 100), 2);
  core::Record record;
  EXPECT_EQ(successor.append(record, WallTime()).sequence, 3U);
  successor.subscribe(follower(1, false));
  EXPECT_EQ(received, (std::vector<std::uint64_t>{2, 3}));
}

TEST_F(HistoryTest, AnEarlierOneThatWasNotKeptWholeLeavesNoGap) {
  append("one");
  append("two");
  History successor;
  successor.restore(history.tail(10, 100), 5);  // three more were never written down
  core::Record record;
  EXPECT_EQ(successor.append(record, WallTime()).sequence, 6U);
  successor.subscribe(follower(0, false));
  EXPECT_EQ(received, (std::vector<std::uint64_t>{6}));
}

TEST_F(HistoryTest, TailCutsLongTexts) {
  append(std::string(5000, 'x'));
  EXPECT_LE(history.tail(1, 1000).at(0).record.text.size(), 1000U);
}

}  // namespace
}  // namespace corn::driver
