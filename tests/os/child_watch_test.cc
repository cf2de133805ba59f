// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/os/child_watch.h"

#include <gmock/gmock.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <optional>

#include "support.h"

namespace corn::os {
namespace {

using test::make_pipe;
using test::Pipe;
using test::probe;
using Kind = ExitStatus::Kind;

class ChildWatchTest : public testing::Test {
 protected:
  // Launches and watches; the loop stops when all watched children have ended.
  pid_t start(LaunchSpec spec, ChildWatch::ExitCallback callback = nullptr) {
    base::Result<Child> child = launcher_.launch(spec);
    EXPECT_TRUE(child) << child.error().message;
    ++running_;
    const pid_t pid = child->pid;
    EXPECT_TRUE(watch_.watch(pid, std::move(child->pidfd),
                             [this, callback](pid_t ended, const ExitStatus& status) {
                               ended_.emplace_back(ended, status);
                               if (callback) callback(ended, status);
                               if (--running_ == 0) loop_->stop();
                             }));
    return pid;
  }

  // Starts a child that lives until it is killed, or this object's end.
  pid_t start_waiting() {
    LaunchSpec spec = probe({"wait"});
    spec.descriptors = {{life_.reader.get(), STDIN_FILENO}};
    return start(spec);
  }

  ExitStatus status_of(const LaunchSpec& spec) {
    const pid_t pid = start(spec);
    loop_->run();
    EXPECT_EQ(ended_.size(), 1U);
    EXPECT_EQ(ended_.front().first, pid);
    return ended_.front().second;
  }

  // A zombie child that nobody watches.
  static pid_t make_stranger(int exit_status) {
    const pid_t pid = ::fork();
    if (pid == 0) ::_exit(exit_status);
    siginfo_t info{};
    EXPECT_EQ(::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT), 0);
    return pid;
  }

  // A process whose parent has ended. It lives until end_orphan().
  static pid_t make_orphan() {
    Pipe told = make_pipe();
    const pid_t between = ::fork();
    if (between == 0) {
      const pid_t pid = ::fork();
      while (pid == 0) ::pause();
      ::_exit(::write(told.writer.get(), &pid, sizeof pid) == sizeof pid ? 0 : 1);
    }
    EXPECT_EQ(::waitpid(between, nullptr, 0), between);
    pid_t pid = -1;
    EXPECT_EQ(::read(told.reader.get(), &pid, sizeof pid), static_cast<ssize_t>(sizeof pid));
    return pid;
  }

  static void end_orphan(pid_t pid) {
    ASSERT_GT(pid, 1);
    ASSERT_EQ(::kill(pid, SIGKILL), 0);
    ::waitpid(pid, nullptr, 0);
  }

  static void wait_until_dead(pid_t pid) {
    siginfo_t info{};
    EXPECT_EQ(::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT), 0);
  }

  std::unique_ptr<EpollLoop> loop_ = std::move(*EpollLoop::create());
  CloneLauncher launcher_;
  Pipe life_ = make_pipe();
  std::vector<std::pair<pid_t, int>> strangers_;
  PidfdChildWatch watch_{*loop_, [this](pid_t pid, const ExitStatus& status) {
                           strangers_.emplace_back(pid, status.code);
                         }};
  int running_ = 0;
  std::vector<std::pair<pid_t, ExitStatus>> ended_;
};

TEST_F(ChildWatchTest, ExitStatusIsReported) {
  const ExitStatus status = status_of(probe({"exit", "3"}));
  EXPECT_EQ(status.kind, Kind::kExited);
  EXPECT_EQ(status.code, 3);
  EXPECT_GT(status.max_rss_bytes, 0U);
}

TEST_F(ChildWatchTest, DeathBySignalIsReported) {
  const ExitStatus status = status_of(probe({"kill", std::to_string(SIGKILL)}));
  EXPECT_EQ(status.kind, Kind::kSignaled);
  EXPECT_EQ(status.code, SIGKILL);
  EXPECT_FALSE(status.core_dumped);
}

TEST_F(ChildWatchTest, CoreDumpIsReported) {
  rlimit limit{};
  ::getrlimit(RLIMIT_CORE, &limit);
  const std::string pattern = test::read_file("/proc/sys/kernel/core_pattern");
  if (limit.rlim_max == 0 && !test::is_root()) GTEST_SKIP() << "core dumps are forbidden here";
  if (pattern.find('/') != std::string::npos)
    GTEST_SKIP() << "core dumps go elsewhere: " << pattern;
  const test::TemporaryDirectory directory;
  LaunchSpec spec = probe({"kill", std::to_string(SIGSEGV)});
  spec.working_directory = directory.path();
  spec.limits = {{RLIMIT_CORE, rlimit{RLIM_INFINITY, RLIM_INFINITY}}};
  const ExitStatus status = status_of(spec);
  EXPECT_EQ(status.kind, Kind::kSignaled);
  EXPECT_EQ(status.code, SIGSEGV);
  EXPECT_TRUE(status.core_dumped);
}

TEST_F(ChildWatchTest, CpuTimeIsReported) {
  EXPECT_GE(status_of(probe({"spin"})).cpu_time, std::chrono::milliseconds(40));
}

TEST_F(ChildWatchTest, SignalReachesAWatchedChild) {
  const pid_t pid = start_waiting();
  ASSERT_TRUE(watch_.send_signal(pid, SIGTERM));
  loop_->run();
  EXPECT_EQ(ended_.front().second.kind, Kind::kSignaled);
  EXPECT_EQ(ended_.front().second.code, SIGTERM);
}

TEST_F(ChildWatchTest, SignalAfterTheEndIsAnErrorAndReachesNobody) {
  const pid_t pid = start(probe({"exit", "0"}));
  loop_->run();
  const base::Status status = watch_.send_signal(pid, SIGKILL);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().os_errno, ESRCH);
}

TEST_F(ChildWatchTest, ManyEndsAtOnceAreEachSeenOnce) {
  std::vector<pid_t> started;
  for (int i = 0; i < 40; ++i) started.push_back(start(probe({"exit", std::to_string(i)})));
  loop_->run();
  ASSERT_EQ(ended_.size(), started.size());
  for (const auto& [pid, status] : ended_) {
    const auto place = std::find(started.begin(), started.end(), pid) - started.begin();
    EXPECT_EQ(status.code, place);
  }
}

TEST_F(ChildWatchTest, ChildMayBeStartedFromTheCallbackOfAnother) {
  start(probe({"exit", "1"}), [this](pid_t, const ExitStatus&) { start(probe({"exit", "2"})); });
  loop_->run();
  ASSERT_EQ(ended_.size(), 2U);
  EXPECT_EQ(ended_[1].second.code, 2);
}

TEST_F(ChildWatchTest, StrangersAreReapedAndWatchedChildrenAreNot) {
  const pid_t first = make_stranger(11);
  const pid_t watched = start(probe({"exit", "5"}));
  wait_until_dead(watched);
  const pid_t second = make_stranger(12);

  watch_.reap_strangers();
  EXPECT_TRUE(ended_.empty()) << "never from within a call";
  loop_->run();

  ASSERT_EQ(ended_.size(), 1U);
  EXPECT_EQ(ended_.front().first, watched);
  EXPECT_EQ(ended_.front().second.code, 5);
  EXPECT_THAT(strangers_,
              testing::UnorderedElementsAre(std::pair(first, 11), std::pair(second, 12)));
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

// A template's child may end before its pid has been told.
TEST_F(ChildWatchTest, NoStrangerIsReapedWhileAChildIsExpected) {
  const pid_t early = make_stranger(13);
  watch_.expect_child();
  watch_.reap_strangers();
  EXPECT_TRUE(strangers_.empty());

  auto pidfd = open_child(early);
  ASSERT_TRUE(pidfd) << pidfd.error().message;
  std::optional<int> code;
  ASSERT_TRUE(watch_.watch(early, std::move(*pidfd), [&](pid_t, const ExitStatus& status) {
    code = status.code;
    loop_->stop();
  }));
  watch_.end_expectation();
  loop_->run();
  EXPECT_EQ(code, 13);
  EXPECT_TRUE(strangers_.empty());
}

TEST_F(ChildWatchTest, OrphansAreInheritedWhileAChildIsExpected) {
  watch_.expect_child();
  watch_.expect_child();
  watch_.end_expectation();
  const pid_t inherited = make_orphan();
  EXPECT_TRUE(open_child(inherited));
  end_orphan(inherited);
  watch_.end_expectation();

  const pid_t foreign = make_orphan();
  EXPECT_FALSE(open_child(foreign));
  end_orphan(foreign);
}

TEST_F(ChildWatchTest, WhatAnEarlierProgramExpectedIsOver) {
  watch_.expect_child();
  const PidfdChildWatch next(*loop_);
  const pid_t foreign = make_orphan();
  EXPECT_FALSE(open_child(foreign));
  end_orphan(foreign);
  watch_.end_expectation();
}

TEST_F(ChildWatchTest, StrangersLeftForAnExpectedChildAreReapedAfterwards) {
  watch_.expect_child();
  watch_.expect_child();
  const pid_t stranger = make_stranger(14);
  watch_.reap_strangers();
  watch_.end_expectation();
  EXPECT_TRUE(strangers_.empty());
  watch_.end_expectation();
  EXPECT_THAT(strangers_, testing::ElementsAre(std::pair(stranger, 14)));
}

TEST_F(ChildWatchTest, OnlyAChildIsOpenedAsOne) {
  EXPECT_FALSE(open_child(::getppid()));
  EXPECT_FALSE(open_child(1));
  EXPECT_FALSE(open_child(0));
  EXPECT_FALSE(open_child(-1));
}

TEST_F(ChildWatchTest, ProportionalSizeIsNoMoreThanResidentSize) {
  const auto proportional = read_pss(::getpid());
  const auto resident = read_rss(::getpid());
  ASSERT_TRUE(proportional && resident);
  EXPECT_GT(*proportional, 0U);
  EXPECT_LE(*proportional, *resident + *resident / 10);
}

TEST_F(ChildWatchTest, LivingChildrenAreNoStrangers) {
  const pid_t pid = start_waiting();
  watch_.reap_strangers();
  EXPECT_TRUE(strangers_.empty());
  ASSERT_TRUE(watch_.send_signal(pid, SIGKILL));
  loop_->run();
}

TEST_F(ChildWatchTest, UnwatchedChildIsForgotten) {
  const pid_t forgotten = start(probe({"exit", "1"}));
  watch_.unwatch(forgotten);
  --running_;
  start(probe({"exit", "2"}));
  loop_->run();
  ASSERT_EQ(ended_.size(), 1U);
  EXPECT_EQ(ended_.front().second.code, 2);
  EXPECT_EQ(test::wait_for_exit(forgotten), 1);
}

TEST_F(ChildWatchTest, EndOfSomebodyElsesChildIsSeenButNotItsStatus) {
  // A grandchild: its parent ends at once, so that it is adopted by another process.
  Pipe pid_pipe = make_pipe();
  Pipe life = make_pipe();
  const pid_t parent = ::fork();
  if (parent == 0) {
    const pid_t grandchild = ::fork();
    if (grandchild == 0) {
      life.writer.reset();
      test::read_all(life.reader.get());
      ::_exit(7);
    }
    const ssize_t size = ::write(pid_pipe.writer.get(), &grandchild, sizeof(grandchild));
    ::_exit(size == sizeof(grandchild) ? 0 : 1);
  }
  ASSERT_EQ(test::wait_for_exit(parent), 0);
  pid_t grandchild = 0;
  ASSERT_EQ(::read(pid_pipe.reader.get(), &grandchild, sizeof(grandchild)),
            static_cast<ssize_t>(sizeof(grandchild)));

  base::Result<base::UniqueFd> pidfd = open_pidfd(grandchild);
  ASSERT_TRUE(pidfd);
  std::optional<ExitStatus> seen;
  ASSERT_TRUE(watch_.watch(grandchild, std::move(*pidfd), [&](pid_t, const ExitStatus& status) {
    seen = status;
    loop_->stop();
  }));
  life.writer.reset();
  loop_->run();
  EXPECT_EQ(seen, ExitStatus{});
}

TEST(ProcessFiles, OwnFiguresAreRead) {
  const base::Result<std::uint64_t> rss = read_rss(::getpid());
  ASSERT_TRUE(rss);
  EXPECT_GT(*rss, 1U << 20U);
  const base::Result<std::uint64_t> start = read_start_time(::getpid());
  ASSERT_TRUE(start);
  EXPECT_GT(*start, 0U);
}

TEST(ProcessFiles, StartTimeDoesNotDependOnTheCommandName) {
  const std::string texts = test::in_child([] {
    const std::uint64_t before = read_start_time(::getpid()).value_or(0);
    ::prctl(PR_SET_NAME, ") R 1 1 (");
    const std::uint64_t after = read_start_time(::getpid()).value_or(1);
    return before == after ? std::string("same") : std::string("different");
  });
  EXPECT_EQ(texts, "same");
}

TEST(ProcessFiles, EndedProcessIsAnError) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(0);
  test::wait_for_exit(pid);
  EXPECT_FALSE(read_rss(pid));
  EXPECT_FALSE(read_start_time(pid));
  EXPECT_FALSE(open_pidfd(pid));
}

}  // namespace
}  // namespace corn::os
