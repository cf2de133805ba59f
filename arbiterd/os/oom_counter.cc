// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/os/oom_counter.h"

#include <fstream>
#include <sstream>
#include <utility>
#include <vector>

namespace corn::os {
namespace {

// Victims of one moment are found one after the other.
constexpr base::Duration kClaimable = std::chrono::seconds(1);

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

OomCounter OomCounter::of_this_process() {
  return find(read_file("/proc/self/cgroup"), read_file("/proc/self/mountinfo"));
}

OomCounter OomCounter::find(const std::string& groups, const std::string& mounts) {
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
      return OomCounter(directory_of(*mount, group) + "/memory.oom_control");
    }
  }
  if (const auto mount = find_mount(mounts, true); mount && !unified.empty()) {
    return OomCounter(directory_of(*mount, unified) + "/memory.events");
  }
  return OomCounter("");
}

OomCounter::OomCounter(std::string path) : path_(std::move(path)), last_(read().value_or(0)) {}

std::optional<std::uint64_t> OomCounter::read() const {
  if (path_.empty()) return std::nullopt;
  std::ifstream file(path_);
  std::string name;
  for (std::uint64_t value = 0; file >> name >> value;) {
    if (name == "oom_kill") return value;
  }
  return std::nullopt;
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
