// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>

#include "base/clock.h"

namespace corn::server {

// How the application stops for its client. Called where the application runs.
class Waiter {
 public:
  virtual ~Waiter() = default;

  // It is about to wait for the client, so that somebody else must turn the loop; it has waited.
  virtual void before_wait() = 0;
  virtual void after_wait() = 0;
  // It is not to be stopped: what the client doesn't take is queued beyond the limit.
  [[nodiscard]] virtual bool never_waits() const { return false; }

  // Waits with `lock` given up until `changed` is notified, or until `end`; may return for no
  // reason. False: the application has broken the wait off, and what it was for.
  virtual bool wait(std::unique_lock<std::mutex>& lock, std::condition_variable& changed,
                    std::optional<base::TimePoint> end) {
    if (end) {
      changed.wait_until(lock, *end);
    } else {
      changed.wait(lock);
    }
    return true;
  }
};

}  // namespace corn::server
