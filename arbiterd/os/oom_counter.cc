// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/os/oom_counter.h"

#include <utility>

#include "arbiterd/os/memory_cgroup.h"

namespace corn::os {
namespace {

// Victims of one moment are found one after the other.
constexpr base::Duration kClaimable = std::chrono::seconds(1);

}  // namespace

OomCounter OomCounter::of_this_process() {
  const auto group = own_memory_cgroup();
  return OomCounter(group ? group->counter() : "");
}

OomCounter OomCounter::find(const std::string& groups, const std::string& mounts) {
  const auto group = find_memory_cgroup(groups, mounts);
  return OomCounter(group ? group->counter() : "");
}

OomCounter::OomCounter(std::string path) : path_(std::move(path)), last_(read().value_or(0)) {}

std::optional<std::uint64_t> OomCounter::read() const {
  return path_.empty() ? std::nullopt : read_oom_kills(path_);
}

bool OomCounter::claim(base::TimePoint now) {
  if (now - noticed_ > kClaimable) unclaimed_ = 0;
  if (const auto count = read(); count && *count > last_) {
    unclaimed_ += *count - std::exchange(last_, *count);
    noticed_ = now;
  }
  if (unclaimed_ == 0) return false;
  --unclaimed_;
  return true;
}

}  // namespace corn::os
