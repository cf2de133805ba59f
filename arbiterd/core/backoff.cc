// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/core/backoff.h"

#include <algorithm>

namespace corn::core {
namespace {

constexpr Duration kFirstDelay = std::chrono::milliseconds(100);
constexpr Duration kLongestDelay = std::chrono::seconds(30);
constexpr std::uint32_t kDoublings = 9;  // 100 ms times 2^9 is past kLongestDelay

}  // namespace

void Backoff::failed(TimePoint spawned_at, TimePoint now, Jitter& jitter) {
  probing_ = true;
  if (last_failure_ && spawned_at <= *last_failure_) return;
  const std::uint32_t doublings = std::min(failures_, kDoublings);
  const Duration delay = std::min(kFirstDelay * (1 << doublings), kLongestDelay);
  until_ = now + delay - jitter.up_to(delay / 4);
  ++failures_;
  last_failure_ = now;
}

void Backoff::forget() {
  failures_ = 0;
  probing_ = false;
}

}  // namespace corn::core
