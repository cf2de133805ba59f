// SPDX-License-Identifier: Apache-2.0
// Who turns the loop of a sync worker. The leader, the process's main thread, does, and calls the
// application on the same thread: no switch on the hot path. While it is inside, the loop is on
// offer. A follower thread takes it when the leader has been inside for 5 to 10 ms, or at once when
// it is summoned, and turns it until the leader is back.
//
//              offer()                          takes
//   kLeader ------------> kOffered -----------------------------> kFollower
//      ^      leader        |  the same call of the                  |
//      +--------------------+  application at two looks, or summon() |
//      |     reclaim(): one compare-and-swap                         |
//      +-------------------------------------------------------------+
//            reclaim(): asks, wakes the loop, waits
//
// The follower sleeps until there is traffic, then looks every 5 ms, and falls asleep again after
// some quiet looks. A request costs the leader a store and a compare-and-swap, no system call.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>

#include "workerd/server/reactor.h"

namespace corn::server {

class LeaderFollower {
 public:
  explicit LeaderFollower(Reactor& reactor) : reactor_(reactor) {}
  ~LeaderFollower() { stop(); }
  LeaderFollower(const LeaderFollower&) = delete;
  LeaderFollower& operator=(const LeaderFollower&) = delete;

  // The calling thread becomes the leader and owns the loop.
  void start();
  // Ends the follower. Leader only, owning the loop.
  void stop();

  // Leader, owning the loop: about to enter the application. Not the owner from here on.
  void offer();
  // Leader, back from the application: returns owning the loop.
  void reclaim();

  // Any thread: if the leader is inside the application, the follower takes the loop now.
  void summon();

 private:
  enum class Owner : std::uint8_t { kLeader, kOffered, kFollower };

  void follow();
  void turn_loop();

  Reactor& reactor_;
  std::thread follower_;

  std::atomic<Owner> owner_{Owner::kLeader};
  std::atomic<std::uint64_t> entries_{0};  // into the application
  std::atomic<bool> asleep_{false};
  std::atomic<bool> wanted_back_{false};

  std::mutex mutex_;
  std::condition_variable follower_wakes_;
  std::condition_variable leader_wakes_;
  // Guarded by mutex_.
  bool summoned_ = false;
  bool stopping_ = false;
};

}  // namespace corn::server
