// SPDX-License-Identifier: Apache-2.0
#include <sys/syscall.h>
#include <unistd.h>

#include <ctime>
#include <utility>

#include "workerd/server/worker_class.h"

namespace corn::server {

SyncClass::SyncClass(base::ScoreboardMap& scoreboard, app::Application& application,
                     AnsweredCallback answered)
    : scoreboard_(scoreboard),
      exchange_(application, scoreboard.slot(0), *this),
      answered_(std::move(answered)) {}

void SyncClass::run(Reactor& reactor) {
  LeaderFollower relay(reactor);
  {
    const std::lock_guard lock(mutex_);
    relay_ = &relay;
    reactor_ = &reactor;
  }
  scoreboard_.slot(0).thread_id.store(static_cast<std::uint32_t>(::syscall(SYS_gettid)),
                                      std::memory_order_relaxed);
  relay.start();
  while (!reactor.done()) {
    Connection* connection = reactor.take_ready(true);
    if (connection == nullptr) {
      reactor.turn();
      continue;
    }
    progressed();
    inside_.store(true, std::memory_order_relaxed);
    relay.offer();
    exchange_.run(*connection);
    relay.reclaim();
    inside_.store(false, std::memory_order_relaxed);
    reactor.leave(*connection);
    answered_();
  }
  {
    const std::lock_guard lock(mutex_);
    relay_ = nullptr;
  }
  relay.stop();
}

void SyncClass::summon() {
  const std::lock_guard lock(mutex_);
  if (relay_ != nullptr) relay_->summon();
}

std::size_t SyncClass::accept_capacity(std::size_t waiting) const {
  return inside_.load(std::memory_order_relaxed) || waiting > 0 ? 0 : 1;
}

bool SyncClass::turn_is_life() const {
  return !inside_.load(std::memory_order_relaxed) ||
         waiting_for_client_.load(std::memory_order_relaxed);
}

void SyncClass::progressed() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  const auto nanoseconds = static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U +
                           static_cast<std::uint64_t>(now.tv_nsec);
  scoreboard_->beat.store(nanoseconds, std::memory_order_relaxed);
}

void SyncClass::before_wait() {
  waiting_for_client_.store(true, std::memory_order_relaxed);
  summon();
}

void SyncClass::after_wait() {
  waiting_for_client_.store(false, std::memory_order_relaxed);
  progressed();
}

void SyncClass::body_emptied(ConnectionId connection) { reactor_->post_body_emptied(connection); }

}  // namespace corn::server
