// SPDX-License-Identifier: Apache-2.0
#include "base/fork_mutex.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "base/log_sink.h"

namespace corn::base {
namespace {

constexpr int kForks = 200;
constexpr unsigned kSecondsOfAChild = 60;  // it ends by SIGALRM when it finds a lock taken

// A thread that does `work` again and again.
class BusyThread {
 public:
  explicit BusyThread(std::function<void()> work)
      : thread_([this, work = std::move(work)] {
          while (!done_) work();
        }) {}
  ~BusyThread() {
    done_ = true;
    thread_.join();
  }
  BusyThread(const BusyThread&) = delete;
  BusyThread& operator=(const BusyThread&) = delete;

 private:
  std::atomic<bool> done_{false};
  std::thread thread_;
};

// How the child ended that does `work`.
int status_of_child(const std::function<void()>& work) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::alarm(kSecondsOfAChild);
    work();
    ::_exit(0);
  }
  int status = -1;
  EXPECT_EQ(::waitpid(pid, &status, 0), pid);
  return status;
}

TEST(ForkMutex, ChildNeverFindsItHeldByAThreadOfItsParent) {
  ForkMutex first;
  ForkMutex second;
  const auto take_both = [&] {
    { const std::lock_guard lock(first); }
    const std::lock_guard lock(second);
  };
  const BusyThread busy(take_both);
  for (int i = 0; i < kForks; ++i) ASSERT_EQ(status_of_child(take_both), 0);
}

TEST(ForkMutex, OneThatHasEndedIsNotTaken) {
  ForkMutex lasting;
  { const auto gone = std::make_unique<ForkMutex>(); }
  EXPECT_EQ(status_of_child([&] { const std::lock_guard lock(lasting); }), 0);
  const std::lock_guard lock(lasting);
}

TEST(ForkMutex, TheLogCanBeUsedInAChildWhateverThreadsDoWithIt) {
  const auto change = [] { set_log_sinks({}); };
  const BusyThread busy(change);
  for (int i = 0; i < kForks; ++i) ASSERT_EQ(status_of_child(change), 0);
}

}  // namespace
}  // namespace corn::base
