// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "arbiterd/core/turn.h"

namespace corn::core {

// A command on a pool whose reply comes when its workers have followed.
struct Waiter {
  CommandId id;
  bool is_scale = false;
  std::uint32_t before = 0;  // targets
  std::uint32_t after = 0;
  std::uint32_t ready = 0;        // waits for this many to be ready, or the target if that is less
  bool wants_new = false;         // of which some are yet to become so
  std::vector<WorkerId> leaving;  // and for these to end
  std::string done;               // what the reply says then
};

// The commands that wait for one pool. Each gets exactly one reply.
class Waiters {
 public:
  // A command that nobody waits for (id 0) is not kept.
  void add(Waiter waiter);

  // Answers those whose workers have followed: enough are ready, and all that were to leave have
  // ended.
  void settle(std::uint32_t ready, std::uint32_t target,
              const std::function<bool(WorkerId)>& is_alive, Turn& turn);

  // New workers fail: those who wait for new ones are told, rather than left waiting for a retry.
  void new_workers_failed(const std::string& why, Turn& turn);

  // The target was changed again: a scale that waits for more than that will not come true.
  void target_changed(std::uint32_t target, Turn& turn);

  void answer_all(ReplyCode code, const std::string& text, Turn& turn);

  [[nodiscard]] std::size_t size() const { return waiters_.size(); }

 private:
  std::vector<Waiter> waiters_;
};

}  // namespace corn::core
