// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/os/signals.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "support.h"

namespace corn::os {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class SignalSourceTest : public testing::Test {
 protected:
  std::unique_ptr<EpollLoop> loop_ = std::move(*EpollLoop::create());
  std::vector<SignalLevels> seen_;
  std::unique_ptr<SignalSource> source_ =
      std::move(*SignalSource::create(*loop_, [this](const SignalLevels& levels) {
        seen_.push_back(levels);
        loop_->stop();
      }));
};

TEST_F(SignalSourceTest, SignalsPendingTogetherComeAsOneSetWithoutRepetition) {
  for (const int signal : {SIGTTIN, SIGHUP, SIGTTIN, SIGUSR1, SIGTTIN}) ::raise(signal);
  loop_->run();
  ASSERT_EQ(seen_.size(), 1U);
  EXPECT_THAT(seen_[0].commands, ElementsAre(SIGHUP, SIGUSR1, SIGTTIN));
  EXPECT_FALSE(seen_[0].child_ended);
}

TEST_F(SignalSourceTest, EndingSignalsWinOverAllOthers) {
  for (const int signal : {SIGHUP, SIGINT, SIGTTOU, SIGTERM, SIGWINCH}) ::raise(signal);
  loop_->run();
  ASSERT_EQ(seen_.size(), 1U);
  EXPECT_THAT(seen_[0].commands, ElementsAre(SIGTERM, SIGINT));
}

TEST_F(SignalSourceTest, ChildsEndIsToldBesideTheCommands) {
  ::raise(SIGTERM);
  ::raise(SIGCHLD);
  loop_->run();
  ASSERT_EQ(seen_.size(), 1U);
  EXPECT_TRUE(seen_[0].child_ended);
  EXPECT_THAT(seen_[0].commands, ElementsAre(SIGTERM));
}

TEST_F(SignalSourceTest, SignalSentBeforeTheLoopRunsIsNotLost) {
  ::kill(::getpid(), SIGUSR2);
  loop_->run();
  EXPECT_THAT(seen_[0].commands, ElementsAre(SIGUSR2));
}

// As after an upgrade in place: the new program sets its signals up while some are pending.
TEST_F(SignalSourceTest, SignalsThatArePendingStayWhenTheyAreBlockedAnew) {
  for (const int signal : {SIGWINCH, SIGCHLD, SIGTTIN}) ::raise(signal);
  ASSERT_TRUE(block_arbiter_signals());
  loop_->run();
  ASSERT_EQ(seen_.size(), 1U);
  EXPECT_THAT(seen_[0].commands, ElementsAre(SIGTTIN, SIGWINCH));
  EXPECT_TRUE(seen_[0].child_ended);
}

TEST(Signals, IgnoredByTheParentButObeyedHere) {
  const std::string result = test::in_child([] {
    ::signal(SIGHUP, SIG_IGN);  // nohup(1)
    ::signal(SIGCHLD, SIG_IGN);
    auto loop = std::move(*EpollLoop::create());
    std::string seen;
    auto source = std::move(*SignalSource::create(*loop, [&](const SignalLevels& levels) {
      for (const int signal : levels.commands) seen += signal_name(signal) + " ";
      if (levels.child_ended) seen += "CHLD";
      loop->stop();
    }));
    ::raise(SIGHUP);
    ::raise(SIGCHLD);
    loop->run();
    return seen;
  });
  EXPECT_EQ(result, "HUP CHLD");
}

TEST(Signals, WritingToAClosedPipeDoesNotKill) {
  const std::string result = test::in_child([] {
    if (!block_arbiter_signals()) return std::string("failed");
    test::Pipe pipe = test::make_pipe();
    pipe.reader.reset();
    return std::string(::write(pipe.writer.get(), "x", 1) < 0 && errno == EPIPE ? "EPIPE" : "?");
  });
  EXPECT_EQ(result, "EPIPE");
}

TEST(Signals, NamesAreThoseThatPeopleType) {
  EXPECT_EQ(signal_name(SIGTERM), "TERM");
  EXPECT_EQ(signal_name(SIGWINCH), "WINCH");
  EXPECT_EQ(signal_name(200), "signal 200");
}

TEST(Signals, NothingPendingIsNothingToDo) {
  const SignalLevels levels = order_signals({});
  EXPECT_THAT(levels.commands, IsEmpty());
  EXPECT_FALSE(levels.child_ended);
}

}  // namespace
}  // namespace corn::os
