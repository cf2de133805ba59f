// SPDX-License-Identifier: Apache-2.0
#include "workerd/server/leader_follower.h"

#include <pthread.h>

namespace corn::server {
namespace {

constexpr std::chrono::milliseconds kLookInterval(5);
constexpr int kQuietLooks = 10;  // before the follower falls asleep

}  // namespace

void LeaderFollower::start() {
  follower_ = std::thread([this] { follow(); });
}

void LeaderFollower::stop() {
  if (!follower_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    follower_wakes_.notify_one();
  }
  follower_.join();
}

void LeaderFollower::offer() {
  entries_.store(entries_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  // In one order with the follower's flag: either it sees the offer before it sleeps, or it is
  // woken.
  owner_.store(Owner::kOffered, std::memory_order_seq_cst);
  if (asleep_.load(std::memory_order_seq_cst)) {
    const std::lock_guard lock(mutex_);
    asleep_.store(false, std::memory_order_relaxed);
    follower_wakes_.notify_one();
  }
}

void LeaderFollower::reclaim() {
  Owner offered = Owner::kOffered;
  if (owner_.compare_exchange_strong(offered, Owner::kLeader, std::memory_order_acq_rel)) return;
  wanted_back_.store(true, std::memory_order_release);
  reactor_.wake();
  std::unique_lock lock(mutex_);
  leader_wakes_.wait(lock,
                     [this] { return owner_.load(std::memory_order_acquire) == Owner::kLeader; });
  wanted_back_.store(false, std::memory_order_relaxed);
}

void LeaderFollower::summon() {
  {
    const std::lock_guard lock(mutex_);
    summoned_ = true;
    follower_wakes_.notify_one();
  }
  // Whoever turns the loop already looks at what has changed.
  reactor_.wake();
}

void LeaderFollower::follow() {
  ::pthread_setname_np(::pthread_self(), "corn-follower");
  std::uint64_t seen = 0;
  int quiet = kQuietLooks;
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (quiet >= kQuietLooks) {
      asleep_.store(true, std::memory_order_seq_cst);
      if (owner_.load(std::memory_order_seq_cst) != Owner::kOffered) {
        follower_wakes_.wait(lock, [this] {
          return stopping_ || summoned_ || !asleep_.load(std::memory_order_relaxed);
        });
      }
      asleep_.store(false, std::memory_order_relaxed);
      quiet = 0;
    } else {
      follower_wakes_.wait_for(lock, kLookInterval, [this] { return stopping_ || summoned_; });
    }
    const std::uint64_t entries = entries_.load(std::memory_order_relaxed);
    const bool same_call = entries == seen;
    const bool summoned = summoned_;
    summoned_ = false;
    seen = entries;
    Owner offered = Owner::kOffered;
    if ((summoned || same_call) && !stopping_ &&
        owner_.compare_exchange_strong(offered, Owner::kFollower, std::memory_order_acq_rel)) {
      lock.unlock();
      turn_loop();
      lock.lock();
      owner_.store(Owner::kLeader, std::memory_order_release);
      leader_wakes_.notify_one();
      summoned_ = false;  // whoever asked for the loop to be turned has had it turned
      quiet = 0;
    } else {
      quiet = same_call ? quiet + 1 : 0;
    }
  }
}

void LeaderFollower::turn_loop() {
  while (!wanted_back_.load(std::memory_order_acquire)) reactor_.turn();
}

}  // namespace corn::server
