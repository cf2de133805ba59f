// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "base/clock.h"

namespace corn::core {

// A seeded source of small random delays (SplitMix64, by Sebastiano Vigna, public domain): the same
// seed gives the same delays, so that a decision can be replayed. Not for secrets.
class Jitter {
 public:
  explicit Jitter(std::uint64_t seed) : state_(seed) {}

  // Uniform in [0, limit), in steps of 1/1024 of the limit.
  base::Duration up_to(base::Duration limit) {
    return limit / kSteps * static_cast<std::int64_t>(next() % kSteps);
  }

 private:
  static constexpr std::int64_t kSteps = 1024;

  std::uint64_t next() {
    state_ += 0x9e3779b97f4a7c15U;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31U);
  }

  std::uint64_t state_;
};

}  // namespace corn::core
