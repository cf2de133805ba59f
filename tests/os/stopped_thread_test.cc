// SPDX-License-Identifier: Apache-2.0
#include "stacks/stopped_thread.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <functional>
#include <string>

#include "stacks/process_image.h"

// To be found by its name on the child's stack.
extern "C" __attribute__((noinline)) void wait_for_a_signal_here() {
  for (;;) ::pause();
}

namespace corn::stacks {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

constexpr base::Duration kPatience = std::chrono::seconds(20);

char state_of(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/stat");
  std::string line;
  std::getline(file, line);
  return line[line.rfind(") ") + 2];
}

void await_state(pid_t process, char state) {
  const base::MonotonicClock clock;
  const base::TimePoint deadline = clock.now() + kPatience;
  while (state_of(process) != state) {
    ASSERT_LT(clock.now(), deadline) << "state " << state_of(process) << ", not " << state;
    ::usleep(1000);
  }
}

// A process that does what it is told to until it is killed, with those that it has made.
class Child {
 public:
  explicit Child(const std::function<void()>& work) : pid_(::fork()) {
    ::setpgid(pid_, pid_);
    if (pid_ != 0) return;
    work();
    ::_exit(0);
  }
  ~Child() {
    ::kill(-pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  pid_t pid_;
};

std::vector<std::string> stack_of(pid_t process) {
  const auto image = ProcessImage::open(process);
  EXPECT_TRUE(image) << image.error().message;
  const auto stopped = StoppedThread::stop(process, kPatience);
  EXPECT_TRUE(stopped) << stopped.error().message;
  std::vector<std::string> names;
  for (const std::uint64_t address : image->unwind(process, 100).addresses) {
    names.push_back(image->name(address));
  }
  return names;
}

TEST(StoppedThread, AStackIsReadAndTheProcessGoesOn) {
  const Child child(wait_for_a_signal_here);
  await_state(child.pid(), 'S');
  const std::vector<std::string> names = stack_of(child.pid());
  EXPECT_THAT(names, Contains(HasSubstr("pause+0x")));
  EXPECT_THAT(names, Contains(HasSubstr("wait_for_a_signal_here+0x")));
  EXPECT_THAT(names, Contains(HasSubstr("main+0x")));
  await_state(child.pid(), 'S');
}

TEST(StoppedThread, WhatWasStoppedStaysStoppedAndGoesOnWhenToldTo) {
  const Child child(wait_for_a_signal_here);
  await_state(child.pid(), 'S');
  ::kill(child.pid(), SIGSTOP);
  ASSERT_EQ(::waitpid(child.pid(), nullptr, WUNTRACED), child.pid());
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(stack_of(child.pid()), Contains(HasSubstr("wait_for_a_signal_here+0x")));
    await_state(child.pid(), 'T');
  }
  ::kill(child.pid(), SIGCONT);
  await_state(child.pid(), 'S');
}

TEST(StoppedThread, ASignalThatComesMeanwhileIsDelivered) {
  const Child child(wait_for_a_signal_here);
  await_state(child.pid(), 'S');
  {
    const auto stopped = StoppedThread::stop(child.pid(), kPatience);
    ASSERT_TRUE(stopped) << stopped.error().message;
    ::kill(child.pid(), SIGTERM);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child.pid(), &status, 0), child.pid());
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGTERM);
}

TEST(StoppedThread, UninterruptibleSleepIsSaidAndNotWaitedFor) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "ThreadSanitizer makes a fork(2) of vfork(2), in which nobody sleeps so";
#endif
  // A parent sleeps so until what it has vforked ends or runs another program.
  const Child child([] {
    if (::vfork() == 0) {
      for (;;) ::pause();  // NOLINT(clang-analyzer-unix.Vfork): it touches nothing
    }
  });
  await_state(child.pid(), 'D');
  const auto stopped = StoppedThread::stop(child.pid(), std::chrono::milliseconds(10));
  ASSERT_FALSE(stopped);
  EXPECT_THAT(stopped.error().message, HasSubstr("does not stop"));
}

TEST(StoppedThread, WhoHasEndedIsSaidToHave) {
  const Child child([] {});
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child.pid()), &info, WEXITED | WNOWAIT), 0);
  EXPECT_FALSE(StoppedThread::stop(child.pid(), kPatience));
}

}  // namespace
}  // namespace corn::stacks
