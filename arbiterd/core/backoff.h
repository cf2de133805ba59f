// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "arbiterd/core/jitter.h"
#include "arbiterd/core/types.h"

namespace corn::core {

// How long the workers of one generation are not spawned again after they failed: 100 ms after the
// first failure, doubled by each further round to 30 s, each wait shortened by up to a quarter so
// that pools and instances that failed together don't retry together.
//
// A round is everything that was spawned before the failure was seen: 200 workers that cannot boot
// for one reason are one failure, not 200. After a failure a single worker is spawned to find out
// (probing); only when one became ready are the others spawned.
class Backoff {
 public:
  // A worker spawned at `spawned_at` failed now.
  void failed(TimePoint spawned_at, TimePoint now, Jitter& jitter);
  // A worker became ready.
  void proved() { probing_ = false; }
  // A worker stayed ready long enough: the next failure is a first one again.
  void forget();

  // Nothing is to be spawned before this time.
  [[nodiscard]] TimePoint until() const { return until_; }
  [[nodiscard]] bool probing() const { return probing_; }
  [[nodiscard]] std::uint32_t failures() const { return failures_; }
  [[nodiscard]] std::optional<TimePoint> last_failure() const { return last_failure_; }

 private:
  std::uint32_t failures_ = 0;
  bool probing_ = false;
  TimePoint until_;
  std::optional<TimePoint> last_failure_;
};

}  // namespace corn::core
