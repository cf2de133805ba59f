// SPDX-License-Identifier: Apache-2.0
// One clock for deadlines: CLOCK_MONOTONIC, in nanoseconds. Wall-clock time appears only in log
// lines, events shown to people, and the Date header.
#pragma once

#include <chrono>
#include <cstdint>

namespace corn::base {

using Duration = std::chrono::nanoseconds;
using TimePoint = std::chrono::time_point<std::chrono::steady_clock, Duration>;

// A source of monotonic time. Tests advance a fake one by hand.
class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual TimePoint now() const = 0;
};

// CLOCK_MONOTONIC. libstdc++'s steady_clock is that clock.
class MonotonicClock final : public Clock {
 public:
  [[nodiscard]] TimePoint now() const override { return std::chrono::steady_clock::now(); }
};

inline std::uint64_t to_nanoseconds(TimePoint time) {
  return static_cast<std::uint64_t>(time.time_since_epoch().count());
}

inline TimePoint from_nanoseconds(std::uint64_t nanoseconds) {
  return TimePoint(Duration(static_cast<std::int64_t>(nanoseconds)));
}

}  // namespace corn::base
