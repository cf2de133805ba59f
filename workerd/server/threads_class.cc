// SPDX-License-Identifier: Apache-2.0
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "workerd/server/worker_class.h"

namespace corn::server {

ThreadsClass::ThreadsClass(std::uint32_t threads, base::ScoreboardMap& scoreboard,
                           app::Application& application, AnsweredCallback answered)
    : thread_count_(threads),
      scoreboard_(scoreboard),
      application_(application),
      answered_(std::move(answered)) {}

ThreadsClass::~ThreadsClass() {
  for (std::thread& thread : threads_) thread.join();
}

void ThreadsClass::run(Reactor& reactor) {
  reactor_ = &reactor;
  for (std::uint32_t i = 0; i < thread_count_; ++i) {
    threads_.emplace_back([this, i] { work(i); });
  }
  while (!reactor.done()) {
    dispatch();
    reactor.turn();
  }
  const std::lock_guard lock(mutex_);
  stopping_ = true;
  load_.fetch_sub(tasks_.size(), std::memory_order_relaxed);
  tasks_.clear();
  changed_.notify_all();
}

bool ThreadsClass::left_behind() const { return load_.load(std::memory_order_acquire) > 0; }

std::size_t ThreadsClass::accept_capacity(std::size_t waiting) const {
  const std::size_t taken = load_.load(std::memory_order_relaxed) + waiting;
  return taken < thread_count_ ? thread_count_ - taken : 0;
}

// One request more for every thread lies ready, so that none waits for the loop between two
// requests.
void ThreadsClass::dispatch() {
  const std::size_t unfinished_limit = std::max<std::size_t>(thread_count_, 2) - 1;
  while (load_.load(std::memory_order_relaxed) < 2 * static_cast<std::size_t>(thread_count_)) {
    const bool unfinished_too = unfinished_.load(std::memory_order_relaxed) < unfinished_limit &&
                                load_.load(std::memory_order_relaxed) < thread_count_;
    Connection* connection = reactor_->take_ready(unfinished_too);
    if (connection == nullptr) return;
    const bool unfinished = !connection->body().is_complete() && connection->head().has_body();
    load_.fetch_add(1, std::memory_order_relaxed);
    if (unfinished) unfinished_.fetch_add(1, std::memory_order_relaxed);
    const std::lock_guard lock(mutex_);
    tasks_.push_back({connection, unfinished});
    changed_.notify_one();
  }
}

void ThreadsClass::work(std::uint32_t index) {
  ::pthread_setname_np(::pthread_self(), ("corn-app-" + std::to_string(index)).c_str());
  base::Slot& slot = scoreboard_.slot(index);
  slot.thread_id.store(static_cast<std::uint32_t>(::syscall(SYS_gettid)),
                       std::memory_order_relaxed);
  Exchange exchange(application_, slot, *this);
  application_.thread_started();
  for (;;) {
    Task task;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stopping_ || !tasks_.empty(); });
      if (stopping_) break;
      task = tasks_.front();
      tasks_.pop_front();
    }
    const ConnectionId id = task.connection->id();
    exchange.run(*task.connection);
    answered_();
    if (task.unfinished) unfinished_.fetch_sub(1, std::memory_order_relaxed);
    load_.fetch_sub(1, std::memory_order_release);
    reactor_->post_left(id);
  }
  application_.thread_stopping();
}

}  // namespace corn::server
