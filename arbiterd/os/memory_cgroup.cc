// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/os/memory_cgroup.h"

#include <fstream>
#include <sstream>
#include <vector>

namespace corn::os {
namespace {

std::string read_file(const char* path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// Whether `list` ("rw,memory") has the word.
bool has_word(const std::string& list, const std::string& word) {
  return ("," + list + ",").find("," + word + ",") != std::string::npos;
}

struct Mount {
  std::string root;   // the part of the hierarchy that is mounted
  std::string point;  // where
};

// The mount of a control group hierarchy: of version 1 with the memory controller, or of version 2.
std::optional<Mount> find_mount(const std::string& mounts, bool version_2) {
  std::istringstream lines(mounts);
  for (std::string line; std::getline(lines, line);) {
    // id parent device ROOT POINT options [tags]... - TYPE source SUPER-OPTIONS
    std::istringstream words(line);
    std::vector<std::string> fields;
    for (std::string word; words >> word;) fields.push_back(word);
    std::size_t dash = 6;
    while (dash < fields.size() && fields[dash] != "-") ++dash;
    if (dash + 3 >= fields.size()) continue;
    const std::string& type = fields[dash + 1];
    if (version_2 ? type == "cgroup2" : type == "cgroup" && has_word(fields[dash + 3], "memory")) {
      return Mount{fields[3], fields[4]};
    }
  }
  return std::nullopt;
}

// Where a group is found: below the mount point, the mounted root taken off its path.
std::string directory_of(const Mount& mount, std::string group) {
  if (mount.root != "/" && group.starts_with(mount.root)) group.erase(0, mount.root.size());
  return mount.point + group;
}

}  // namespace

std::string MemoryCgroup::counter() const {
  return directory + (version_2 ? "/memory.events" : "/memory.oom_control");
}

std::optional<MemoryCgroup> own_memory_cgroup() {
  return find_memory_cgroup(read_file("/proc/self/cgroup"), read_file("/proc/self/mountinfo"));
}

std::optional<MemoryCgroup> find_memory_cgroup(const std::string& groups,
                                               const std::string& mounts) {
  std::string unified;
  std::istringstream lines(groups);
  // number:controllers:path
  for (std::string line; std::getline(lines, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string group = line.substr(second + 1);
    if (controllers.empty()) unified = group;
    if (!has_word(controllers, "memory")) continue;
    if (const auto mount = find_mount(mounts, false)) {
      return MemoryCgroup{directory_of(*mount, group), false};
    }
  }
  if (const auto mount = find_mount(mounts, true); mount && !unified.empty()) {
    return MemoryCgroup{directory_of(*mount, unified), true};
  }
  return std::nullopt;
}

std::optional<std::uint64_t> read_oom_kills(const std::string& counter) {
  std::ifstream file(counter);
  std::string name;
  for (std::uint64_t value = 0; file >> name >> value;) {
    if (name == "oom_kill") return value;
  }
  return std::nullopt;
}

}  // namespace corn::os
