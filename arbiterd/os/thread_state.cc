// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/os/thread_state.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>
#include <string_view>

#include "base/unique_fd.h"

namespace corn::os {
namespace {

// All of these files are far shorter; empty where one can't be read.
std::string read_small_file(const std::string& path) {
  const base::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return {};
  char bytes[1024];
  const ssize_t n = ::read(file.get(), bytes, sizeof bytes);
  return n > 0 ? std::string(bytes, static_cast<std::size_t>(n)) : std::string();
}

// Field 3 of stat. The name before it, in parentheses, may contain anything.
char state_of(std::string_view stat) {
  const std::size_t name_end = stat.rfind(") ");
  if (name_end == std::string_view::npos || name_end + 2 >= stat.size()) return '?';
  return stat[name_end + 2];
}

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

}  // namespace

base::Result<ThreadStates> read_thread_states(pid_t pid, std::size_t limit) {
  const std::string tasks = "/proc/" + std::to_string(pid) + "/task";
  const std::unique_ptr<DIR, CloseDirectory> directory(::opendir(tasks.c_str()));
  if (!directory) return base::fail_errno("cannot list " + tasks, errno);
  std::vector<pid_t> ids;
  while (const dirent* entry = ::readdir(directory.get())) {
    const char* end = entry->d_name + std::strlen(entry->d_name);
    pid_t id = 0;
    const auto [stopped, error] = std::from_chars(entry->d_name, end, id);
    if (error == std::errc() && stopped == end) ids.push_back(id);
  }
  std::ranges::sort(ids);
  ThreadStates result;
  if (ids.size() > limit) {
    result.left_out = ids.size() - limit;
    ids.resize(limit);
  }
  for (const pid_t id : ids) {
    const std::string task = tasks + "/" + std::to_string(id);
    ThreadState thread;
    thread.id = id;
    thread.name = read_small_file(task + "/comm");
    if (thread.name.empty()) continue;
    if (thread.name.back() == '\n') thread.name.pop_back();
    thread.state = state_of(read_small_file(task + "/stat"));
    thread.wait_channel = read_small_file(task + "/wchan");
    if (thread.wait_channel == "0") thread.wait_channel.clear();
    result.threads.push_back(std::move(thread));
  }
  return result;
}

}  // namespace corn::os
