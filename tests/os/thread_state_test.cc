// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/os/thread_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <future>
#include <thread>

namespace corn::os {
namespace {

TEST(ThreadState, EveryThreadOfAProcessIsNamed) {
  std::promise<pid_t> named;
  std::promise<void> leave;
  std::thread thread([&] {
    // A name that looks like the end of the field before the state.
    ::pthread_setname_np(::pthread_self(), "odd) Z (name");
    named.set_value(::gettid());
    leave.get_future().wait();
  });
  const pid_t id = named.get_future().get();
  const auto states = read_thread_states(::getpid(), 1000);
  ASSERT_TRUE(states) << states.error().message;
  const auto of = [&](pid_t wanted) {
    const auto found = std::ranges::find(states->threads, wanted, &ThreadState::id);
    return found == states->threads.end() ? ThreadState{} : *found;
  };
  EXPECT_EQ(of(::getpid()).state, 'R');
  EXPECT_EQ(of(id).name, "odd) Z (name");
  EXPECT_THAT(of(id).state, ::testing::AnyOf('S', 'R'));
  EXPECT_EQ(states->left_out, 0U);
  EXPECT_EQ(read_thread_states(::getpid(), 1)->threads.size(), 1U);
  EXPECT_EQ(read_thread_states(::getpid(), 1)->left_out, states->threads.size() - 1);
  leave.set_value();
  thread.join();
}

TEST(ThreadState, AStoppedProcessIsSeenAsStoppedAndAnEndedOneIsAnError) {
  const pid_t child = ::fork();
  if (child == 0) {
    for (;;) ::pause();
  }
  ASSERT_EQ(::kill(child, SIGSTOP), 0);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, WUNTRACED), child);
  ASSERT_TRUE(WIFSTOPPED(status));
  const auto states = read_thread_states(child, 10);
  ASSERT_TRUE(states) << states.error().message;
  ASSERT_EQ(states->threads.size(), 1U);
  EXPECT_EQ(states->threads[0].state, 'T');
  ::kill(child, SIGKILL);
  ::waitpid(child, &status, 0);
  EXPECT_FALSE(read_thread_states(child, 10));
}

}  // namespace
}  // namespace corn::os
