// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <utility>

#include "base/clock.h"

namespace corn::driver {

// The driver's own few deadlines (an errand's limit, the service manager's watchdog) beside the
// core's. Loop thread only.
class Timers {
 public:
  using Id = std::pair<base::TimePoint, std::uint64_t>;

  // `changed` is called whenever next() may have changed, to arm the loop's deadline.
  explicit Timers(std::function<void()> changed) : changed_(std::move(changed)) {}

  Id at(base::TimePoint when, std::function<void()> callback) {
    const Id id(when, ++last_);
    callbacks_.emplace(id, std::move(callback));
    changed_();
    return id;
  }
  void cancel(const Id& id) {
    if (callbacks_.erase(id) > 0) changed_();
  }

  [[nodiscard]] std::optional<base::TimePoint> next() const {
    if (callbacks_.empty()) return std::nullopt;
    return callbacks_.begin()->first.first;
  }

  // Calls what is due. A callback may add and cancel timers.
  void run_due(base::TimePoint now) {
    while (!callbacks_.empty() && callbacks_.begin()->first.first <= now) {
      auto due = callbacks_.extract(callbacks_.begin());
      due.mapped()();
    }
    changed_();
  }

 private:
  const std::function<void()> changed_;
  std::map<Id, std::function<void()>> callbacks_;
  std::uint64_t last_ = 0;
};

}  // namespace corn::driver
