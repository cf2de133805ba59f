// SPDX-License-Identifier: Apache-2.0
// How many processes of a memory control group the kernel has killed for want of memory: `oom_kill`
// in memory.events (cgroup v2) or memory.oom_control (v1). The group is shared by all workers of an
// arbiter and whatever else runs in it, so that a number that grew around a worker's SIGKILL is a
// strong hint, not a proof.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/clock.h"

namespace corn::os {

class OomCounter {
 public:
  // Of the group that this process is in. Without one that can be read, it never counts.
  static OomCounter of_this_process();

  // The same from the contents of /proc/self/cgroup and /proc/self/mountinfo (proc(5)).
  static OomCounter find(const std::string& groups, const std::string& mounts);

  // Whether a process that was just found killed may be put down to the kernel: each kill that was
  // counted is good for one claim, within a second of being noticed.
  bool claim(base::TimePoint now);

  // Of the file that is read; empty: none.
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  explicit OomCounter(std::string path);
  [[nodiscard]] std::optional<std::uint64_t> read() const;

  std::string path_;
  std::uint64_t last_ = 0;
  std::uint64_t unclaimed_ = 0;
  base::TimePoint noticed_;
};

}  // namespace corn::os
