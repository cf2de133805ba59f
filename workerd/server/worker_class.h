// SPDX-License-Identifier: Apache-2.0
// The ways requests get from the loop to the application and back, which serve until the loop is
// done: two here, those of runtimes with a loop of their own in loop_class.h.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/scoreboard.h"
#include "workerd/app/application.h"
#include "workerd/server/exchange.h"
#include "workerd/server/leader_follower.h"
#include "workerd/server/reactor.h"

namespace corn::server {

class WorkerClass : public LoopPolicy {
 public:
  // Serves on the calling thread until the loop is done. Called once.
  virtual void run(Reactor& reactor) = 0;
  // Any thread: makes sure that somebody turns the loop soon, even if the application hangs.
  virtual void summon() = 0;
  // The same for a worker that is about to be put down, see Reactor::abort(): returns within
  // `limit`, and what is left may have been done by then.
  virtual void rescue(base::Milliseconds /*limit*/) { summon(); }
  // Application threads that run() has left behind inside the application.
  [[nodiscard]] virtual bool left_behind() const { return false; }
};

// Called after every request, on the application's thread.
using AnsweredCallback = std::function<void()>;

// One request at a time, on the loop's own thread.
class SyncClass final : public WorkerClass, private ExchangeHost {
 public:
  SyncClass(base::ScoreboardMap& scoreboard, app::Application& application,
            AnsweredCallback answered);

  void run(Reactor& reactor) override;
  void summon() override;
  [[nodiscard]] std::size_t accept_capacity(std::size_t waiting) const override;
  [[nodiscard]] bool takes_request_with_connection() const override { return true; }
  // A request inside speaks for the worker, unless it is the client it waits for.
  [[nodiscard]] bool turn_is_life() const override;
  // The loop is turned while a request is inside only when that takes long: by the follower.
  [[nodiscard]] bool passes_requests_on() const override {
    return inside_.load(std::memory_order_relaxed);
  }

 private:
  void progressed() override;
  void before_wait() override;
  void after_wait() override;
  void body_emptied(ConnectionId connection) override;

  base::ScoreboardMap& scoreboard_;
  Exchange exchange_;
  AnsweredCallback answered_;
  std::atomic<bool> inside_{false};
  std::atomic<bool> waiting_for_client_{false};
  std::mutex mutex_;
  // Guarded by mutex_; set while run() runs.
  LeaderFollower* relay_ = nullptr;
  Reactor* reactor_ = nullptr;
};

// The loop on one thread, requests on `threads` others.
class ThreadsClass final : public WorkerClass, private ExchangeHost {
 public:
  ThreadsClass(std::uint32_t threads, base::ScoreboardMap& scoreboard,
               app::Application& application, AnsweredCallback answered);
  ~ThreadsClass() override;

  void run(Reactor& reactor) override;
  void summon() override {}
  [[nodiscard]] std::size_t accept_capacity(std::size_t waiting) const override;
  [[nodiscard]] bool takes_request_with_connection() const override { return false; }
  [[nodiscard]] bool turn_is_life() const override { return true; }
  [[nodiscard]] bool passes_requests_on() const override { return false; }
  [[nodiscard]] bool left_behind() const override;

 private:
  void dispatch();
  void work(std::uint32_t index);

  void progressed() override {}
  void before_wait() override {}
  void after_wait() override {}
  void body_emptied(ConnectionId connection) override { reactor_->post_body_emptied(connection); }

  const std::uint32_t thread_count_;
  base::ScoreboardMap& scoreboard_;
  app::Application& application_;
  const AnsweredCallback answered_;
  Reactor* reactor_ = nullptr;  // set before the threads start
  std::vector<std::thread> threads_;

  std::atomic<std::size_t> load_{0};        // requests handed over and not given back
  std::atomic<std::size_t> unfinished_{0};  // of those, entered before their body was whole

  struct Task {
    Connection* connection = nullptr;
    bool unfinished = false;
  };
  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  std::deque<Task> tasks_;
  bool stopping_ = false;
};

}  // namespace corn::server
