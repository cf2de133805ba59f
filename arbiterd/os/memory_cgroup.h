// SPDX-License-Identifier: Apache-2.0
// Control groups that account for memory (cgroups(7)): where they are, and how many of their
// processes the kernel has killed for want of it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace corn::os {

struct MemoryCgroup {
  std::string directory;
  bool version_2 = false;

  // The file that counts: memory.events (version 2) or memory.oom_control (version 1).
  [[nodiscard]] std::string counter() const;
};

// The group that this process is in; nullopt: there is none that is mounted.
std::optional<MemoryCgroup> own_memory_cgroup();

// The same from the contents of /proc/self/cgroup and /proc/self/mountinfo (proc(5)).
std::optional<MemoryCgroup> find_memory_cgroup(const std::string& groups,
                                               const std::string& mounts);

// `oom_kill` of a counter file; nullopt: it can't be read, or is of a kernel before 4.13.
std::optional<std::uint64_t> read_oom_kills(const std::string& counter);

}  // namespace corn::os
