// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/driver/dump.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/channel.h"

namespace corn::driver {
namespace {

using ::testing::HasSubstr;

// The worker is this process: it has threads that the kernel can be asked about.
class DumpsTest : public testing::Test {
 protected:
  void SetUp() override {
    auto pair = base::Channel::make_pair();
    ASSERT_TRUE(pair);
    worker.id = core::WorkerId{1};
    worker.pid = ::getpid();
    worker.channel = std::move(pair->first);
    peer = std::move(pair->second);
    auto scoreboard = base::ScoreboardMap::create(1);
    ASSERT_TRUE(scoreboard);
    worker.scoreboard = std::move(*scoreboard);
  }

  // Answers the question for native stacks that is open.
  void tell_native(const NativeStacks& stacks) {
    ASSERT_TRUE(native_done);
    std::exchange(native_done, nullptr)(stacks);
  }
  void begin() {
    dumps.begin(worker, [this](const WorkerDump& dump) { answers.push_back(dump); });
  }
  std::uint64_t asked_token() {
    auto message = peer.receive();
    return message && *message ? std::get<base::Dump>(**message).token : 0;
  }
  const ThreadDump& own_thread() {
    for (const ThreadDump& thread : answers.back().threads) {
      if (thread.thread_id == static_cast<std::uint32_t>(::getpid())) return thread;
    }
    static const ThreadDump none;
    return none;
  }

  std::unique_ptr<os::EpollLoop> loop = std::move(*os::EpollLoop::create());
  Timers timers{[] {}};
  bool booting = false;
  WorkerProcess worker;
  base::Channel peer;
  std::function<void(NativeStacks)> native_done;
  Dumps dumps{*loop, timers, [this](core::WorkerId) { return &worker; },
              [this](core::WorkerId) { return booting; },
              [this](pid_t pid, std::function<void(NativeStacks)> done) {
                EXPECT_EQ(pid, ::getpid());
                native_done = std::move(done);
              }};
  std::vector<WorkerDump> answers;
};

TEST_F(DumpsTest, TheWorkersStacksMeetTheKernelsStatesAndTheScoreboardsRequests) {
  worker.scoreboard.slot(0).thread_id = static_cast<std::uint32_t>(::getpid());
  worker.scoreboard.slot(0).begin("GET", "/x", loop->now() - std::chrono::seconds(5));
  begin();
  EXPECT_TRUE(answers.empty());
  const std::uint64_t token = asked_token();
  dumps.on_result(worker, {token + 1, "", {}});
  EXPECT_TRUE(answers.empty()) << "an answer to another question";
  EXPECT_FALSE(native_done) << "the tracer would disturb the worker's own answer";
  dumps.on_result(worker, {token, "", {{static_cast<std::uint32_t>(::getpid()), "stack"}}});
  EXPECT_TRUE(answers.empty());
  tell_native({{{static_cast<std::uint32_t>(::getpid()), "  native"}, {1U, "  unknown"}}, ""});
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(answers[0].text, "");
  EXPECT_EQ(own_thread().python_stack, "stack");
  EXPECT_EQ(own_thread().native_stack, "  native");
  EXPECT_EQ(own_thread().state, 'R');
  ASSERT_TRUE(own_thread().request);
  EXPECT_EQ(own_thread().request->target, "/x");
  EXPECT_FALSE(timers.next());
}

TEST_F(DumpsTest, WhoHasLittlePatienceSaysSoAndWaitsNoLonger) {
  dumps.begin(
      worker, [this](const WorkerDump& dump) { answers.push_back(dump); }, base::Milliseconds(80));
  auto message = peer.receive();
  ASSERT_TRUE(message && *message);
  EXPECT_EQ(std::get<base::Dump>(**message).patience, base::Milliseconds(60));
  EXPECT_LE(*timers.next(), loop->now() + base::Milliseconds(80));
}

TEST_F(DumpsTest, AWorkerThatDoesNotAnswerIsDescribedWhenTheLimitHasPassed) {
  booting = true;
  worker.scoreboard.slot(0).thread_id = static_cast<std::uint32_t>(::getpid());
  worker.scoreboard.slot(0).begin("GET", "/x", loop->now());
  worker.scoreboard.slot(0).end(loop->now(), false);
  begin();
  const std::uint64_t token = asked_token();
  timers.run_due(loop->now() + kDumpLimit * 2);
  dumps.on_result(worker, {token, "", {}});
  EXPECT_TRUE(answers.empty()) << "an answer that came too late";
  tell_native({{}, "no native stacks: reason"});
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_THAT(answers[0].text, HasSubstr("no native stacks: reason"));
  EXPECT_THAT(answers[0].text, HasSubstr("still loading its application"));
  EXPECT_THAT(answers[0].text, HasSubstr("does not answer within 2000 ms"));
  ASSERT_TRUE(own_thread().last_request);
  EXPECT_EQ(own_thread().last_request->target, "/x");
}

TEST_F(DumpsTest, AskersShareOneQuestionAndTooManyAreRefused) {
  for (int i = 0; i < 16; ++i) begin();
  EXPECT_TRUE(answers.empty());
  begin();
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(answers[0].code, core::ReplyCode::kUnavailable);
  dumps.on_result(worker, {asked_token(), "", {}});
  tell_native({});
  EXPECT_EQ(answers.size(), 17U);
}

TEST_F(DumpsTest, AWorkersEndAnswersAtOnceAndAMissingChannelIsNotWaitedFor) {
  begin();
  dumps.on_result(worker, {asked_token(), "", {{static_cast<std::uint32_t>(::getpid()), "stack"}}});
  dumps.on_exit(worker.id, worker.pid);
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(answers[0].code, core::ReplyCode::kNotFound);
  EXPECT_EQ(own_thread().python_stack, "stack") << "what was known before it ended";
  tell_native({});  // too late for anybody
  EXPECT_EQ(answers.size(), 1U);
  worker.channel = base::Channel();
  begin();
  tell_native({});
  ASSERT_EQ(answers.size(), 2U);
  EXPECT_THAT(answers[1].text, HasSubstr("not been heard of yet"));
  EXPECT_EQ(own_thread().state, 'R');
}

TEST(NativeStacksText, IsTakenApartByThreadAndTheRestIsWords) {
  const NativeStacks stacks = parse_native_stacks(
      "thread 7\n  poll+0x4f (libc.so.6)\n  main+0x1 (workerd)\nthread 8\n  (it does not stop)\n"
      "thread x\n3 more threads were not looked at: no time left\n");
  ASSERT_EQ(stacks.threads.size(), 2U);
  EXPECT_EQ(stacks.threads.at(7), "  poll+0x4f (libc.so.6)\n  main+0x1 (workerd)");
  EXPECT_EQ(stacks.threads.at(8), "  (it does not stop)");
  EXPECT_EQ(stacks.text, "thread x\n3 more threads were not looked at: no time left");
  EXPECT_EQ(parse_native_stacks("  no thread\n").text, "  no thread");
}

}  // namespace
}  // namespace corn::driver
