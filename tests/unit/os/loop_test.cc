// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/os/loop.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <string>
#include <thread>

namespace corn::os {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;

// A descriptor that is readable from the start.
base::UniqueFd ready_descriptor() { return base::UniqueFd(::eventfd(1, EFD_CLOEXEC)); }

class LoopTest : public testing::Test {
 protected:
  base::TimePoint real_now() const { return std::chrono::steady_clock::now(); }

  std::unique_ptr<EpollLoop> loop_ = std::move(*EpollLoop::create(4));
  std::vector<std::string> order_;
};

TEST_F(LoopTest, ReadyDescriptorIsReportedUntilUnwatched) {
  const base::UniqueFd fd = ready_descriptor();
  int calls = 0;
  ASSERT_TRUE(loop_->watch(fd.get(), EPOLLIN, [&](std::uint32_t ready) {
    EXPECT_EQ(ready, static_cast<std::uint32_t>(EPOLLIN));
    if (++calls < 3) return;
    loop_->unwatch(fd.get());
    EXPECT_TRUE(loop_->post([&] { EXPECT_TRUE(loop_->post([&] { loop_->stop(); })); }));
  }));
  loop_->run();
  EXPECT_EQ(calls, 3);
}

TEST_F(LoopTest, UnwatchingAnotherDescriptorHoldsInTheSameTurn) {
  const base::UniqueFd first = ready_descriptor();
  const base::UniqueFd second = ready_descriptor();
  int calls = 0;
  const auto callback = [&](int other) {
    return [&, other](std::uint32_t) {
      ++calls;
      loop_->unwatch(other);
      loop_->stop();
    };
  };
  ASSERT_TRUE(loop_->watch(first.get(), EPOLLIN, callback(second.get())));
  ASSERT_TRUE(loop_->watch(second.get(), EPOLLIN, callback(first.get())));
  loop_->run();
  EXPECT_EQ(calls, 1);
}

TEST_F(LoopTest, EventOfAClosedDescriptorIsNotGivenToItsSuccessorOfTheSameNumber) {
  base::UniqueFd first = ready_descriptor();
  base::UniqueFd second = ready_descriptor();
  base::UniqueFd successor;
  bool successor_called = false;
  const auto replace = [&](base::UniqueFd& other) {
    return [&](std::uint32_t) {
      if (successor) return;
      const int number = other.get();
      loop_->unwatch(number);
      other.reset();
      successor.reset(::eventfd(0, EFD_CLOEXEC));  // the lowest free number: the one just closed
      ASSERT_EQ(successor.get(), number);
      ASSERT_TRUE(loop_->watch(number, EPOLLIN, [&](std::uint32_t) { successor_called = true; }));
      loop_->stop();
    };
  };
  ASSERT_TRUE(loop_->watch(first.get(), EPOLLIN, replace(second)));
  ASSERT_TRUE(loop_->watch(second.get(), EPOLLIN, replace(first)));
  loop_->run();
  EXPECT_FALSE(successor_called);
}

TEST_F(LoopTest, WatchingAgainReplacesEventsAndCallback) {
  const base::UniqueFd fd = ready_descriptor();
  ASSERT_TRUE(loop_->watch(fd.get(), EPOLLIN, [&](std::uint32_t) { order_.emplace_back("old"); }));
  ASSERT_TRUE(loop_->watch(fd.get(), EPOLLOUT, [&](std::uint32_t ready) {
    EXPECT_EQ(ready, static_cast<std::uint32_t>(EPOLLOUT));
    order_.emplace_back("new");
    loop_->stop();
  }));
  loop_->run();
  EXPECT_THAT(order_, ElementsAre("new"));
}

TEST_F(LoopTest, WhatCannotBeWatchedIsAnError) {
  const base::UniqueFd file(::open("/proc/self/stat", O_RDONLY | O_CLOEXEC));
  EXPECT_FALSE(loop_->watch(-1, EPOLLIN, [](std::uint32_t) {}));
  EXPECT_FALSE(loop_->watch(file.get(), EPOLLIN, [](std::uint32_t) {}));
}

TEST_F(LoopTest, DeadlineIsReachedNotEarlierAndOnce) {
  const base::TimePoint deadline = real_now() + milliseconds(20);
  int calls = 0;
  loop_->on_deadline([&] {
    ++calls;
    EXPECT_GE(loop_->now(), deadline);
    EXPECT_TRUE(loop_->post([&] { loop_->stop(); }));
  });
  loop_->set_deadline(deadline);
  loop_->run();
  EXPECT_EQ(calls, 1);
}

TEST_F(LoopTest, DeadlineInThePastIsReachedAtOnce) {
  loop_->on_deadline([&] { loop_->stop(); });
  loop_->set_deadline(base::TimePoint{});
  loop_->run();
}

TEST_F(LoopTest, FactsOfATurnAreKnownBeforeItsDeadline) {
  const base::UniqueFd fd = ready_descriptor();
  ASSERT_TRUE(loop_->watch(fd.get(), EPOLLIN, [&](std::uint32_t) {
    order_.emplace_back("descriptor");
    loop_->unwatch(fd.get());
  }));
  ASSERT_TRUE(loop_->post([&] { order_.emplace_back("task"); }));
  loop_->on_deadline([&] {
    order_.emplace_back("deadline");
    loop_->stop();
  });
  loop_->set_deadline(real_now() - milliseconds(1));
  loop_->run();
  EXPECT_THAT(order_, ElementsAre("descriptor", "task", "deadline"));
}

TEST_F(LoopTest, DeadlineMovedAwayInItsOwnTurnDoesNotFire) {
  const base::UniqueFd fd = ready_descriptor();
  ASSERT_TRUE(loop_->watch(fd.get(), EPOLLIN, [&](std::uint32_t) {
    loop_->set_deadline(std::nullopt);
    loop_->stop();
  }));
  loop_->on_deadline([&] { order_.emplace_back("deadline"); });
  loop_->set_deadline(real_now() - milliseconds(1));
  loop_->run();
  EXPECT_TRUE(order_.empty());
}

TEST_F(LoopTest, DeadlineMayBeSetAgainFromItsCallback) {
  int calls = 0;
  loop_->on_deadline([&] {
    if (++calls == 3) return loop_->stop();
    loop_->set_deadline(loop_->now() + milliseconds(1));
  });
  loop_->set_deadline(loop_->now());
  loop_->run();
  EXPECT_EQ(calls, 3);
}

TEST_F(LoopTest, TimeStandsStillWithinATurn) {
  ASSERT_TRUE(loop_->post([&] {
    const base::TimePoint start = loop_->now();
    while (real_now() < start + milliseconds(2)) {
    }
    EXPECT_EQ(loop_->now(), start);
    loop_->stop();
  }));
  loop_->run();
  EXPECT_GT(loop_->now(), real_now() - milliseconds(1000)) << "outside of run() it goes on";
}

TEST_F(LoopTest, TasksOfOtherThreadsRunInOrderOnTheLoopsThread) {
  EpollLoop& loop = *loop_;
  std::thread poster([&] {
    EXPECT_FALSE(loop.on_loop_thread());
    for (const char* name : {"one", "two", "three"}) {
      EXPECT_TRUE(loop.post([&, name] {
        EXPECT_TRUE(loop.on_loop_thread());
        order_.emplace_back(name);
      }));
    }
    EXPECT_TRUE(loop.post([&] { loop.stop(); }));
  });
  loop_->run();
  poster.join();
  EXPECT_THAT(order_, ElementsAre("one", "two", "three"));
}

TEST_F(LoopTest, FullQueueRefuses) {
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(loop_->post([] {}));
  EXPECT_FALSE(loop_->post([] {}));
}

TEST_F(LoopTest, TaskAcceptedBeforeTheStopRunsAndLaterOnesAreRefused) {
  bool ran = false;
  ASSERT_TRUE(loop_->post([&] {
    loop_->stop();
    EXPECT_TRUE(loop_->post([&] { ran = true; }));
  }));
  loop_->run();
  EXPECT_TRUE(ran);
  EXPECT_FALSE(loop_->post([] {}));
}

TEST_F(LoopTest, StopOfAnotherThreadWakesASleepingLoop) {
  EpollLoop& loop = *loop_;
  std::mutex mutex;
  std::condition_variable running;
  bool is_running = false;
  ASSERT_TRUE(loop_->post([&] {
    const std::lock_guard lock(mutex);
    is_running = true;
    running.notify_one();
  }));
  std::thread stopper([&] {
    std::unique_lock lock(mutex);
    running.wait(lock, [&] { return is_running; });
    loop.stop();
  });
  loop_->run();
  stopper.join();
}

TEST_F(LoopTest, ManyThreadsMayPostAtOnce) {
  auto loop = std::move(*EpollLoop::create(100'000));
  constexpr int kThreads = 4;
  constexpr int kTasks = 2000;
  int ran = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (int task = 0; task < kTasks; ++task) {
        EXPECT_TRUE(loop->post([&] {
          if (++ran == kThreads * kTasks) loop->stop();
        }));
      }
    });
  }
  loop->run();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ran, kThreads * kTasks);
}

}  // namespace
}  // namespace corn::os
