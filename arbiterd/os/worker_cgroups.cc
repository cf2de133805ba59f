// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/os/worker_cgroups.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <utility>

#include "base/log.h"

namespace corn::os {
namespace {

base::Status write_text(const std::string& path, const std::string& text) {
  const base::UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file) return base::fail_errno("open " + path, errno);
  if (::write(file.get(), text.data(), text.size()) < 0) {
    return base::fail_errno("write to " + path, errno);
  }
  return {};
}

bool has_process(const std::string& group, pid_t pid) {
  std::ifstream file(group + "/cgroup.procs");
  for (pid_t one = 0; file >> one;) {
    if (one == pid) return true;
  }
  return false;
}

bool has_ended(int pidfd) {
  pollfd state{pidfd, POLLIN, 0};
  return ::poll(&state, 1, 0) != 0;
}

}  // namespace

base::Result<std::unique_ptr<WorkerCgroups>> WorkerCgroups::open(const std::string& directory) {
  const auto own = own_memory_cgroup();
  MemoryCgroup parent = own.value_or(MemoryCgroup{});
  if (directory.empty()) {
    if (!own) return base::fail("no memory control group is mounted");
    if (own->version_2) {
      return base::fail(
          "a group with processes can't have groups with limits in it (cgroups(7), "
          "version 2); name one without as worker_cgroups");
    }
  } else {
    parent.directory = directory;
    parent.version_2 = ::access((directory + "/cgroup.subtree_control").c_str(), F_OK) == 0;
    if (parent.version_2) {
      if (auto enabled = write_text(directory + "/cgroup.subtree_control", "+memory"); !enabled) {
        return tl::unexpected(enabled.error());
      }
    }
  }
  std::unique_ptr<WorkerCgroups> groups(new WorkerCgroups(std::move(parent)));
  if (auto usable = groups->probe(); !usable) return tl::unexpected(usable.error());
  return groups;
}

WorkerCgroups::WorkerCgroups(MemoryCgroup parent) : parent_(std::move(parent)) {}

base::Status WorkerCgroups::probe() const {
  const std::string trial = fmt::format("{}/corn-trial-{}", parent_.directory, ::getpid());
  if (::mkdir(trial.c_str(), 0755) < 0) return base::fail_errno("mkdir " + trial, errno);
  const bool counts = read_oom_kills(as_group(trial).counter()).has_value();
  ::rmdir(trial.c_str());
  if (counts) return {};
  return base::fail(parent_.directory + " is no memory control group whose kernel counts kills");
}

WorkerCgroups::~WorkerCgroups() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (mover_.joinable()) mover_.join();
  remove_left_over();
}

std::string WorkerCgroups::group_of(pid_t pid) const {
  return fmt::format("{}/corn-{}", parent_.directory, pid);
}

MemoryCgroup WorkerCgroups::as_group(const std::string& directory) const {
  return {directory, parent_.version_2};
}

base::Status WorkerCgroups::add(pid_t pid, int pidfd) {
  const std::string group = group_of(pid);
  if (has_process(group, pid)) {
    groups_[pid] = group;
    return {};
  }
  ::rmdir(group.c_str());  // of a worker before, whose number this one has
  if (::mkdir(group.c_str(), 0755) < 0) return base::fail_errno("mkdir " + group, errno);
  base::UniqueFd copy(::fcntl(pidfd, F_DUPFD_CLOEXEC, 0));
  if (!copy) {
    const int error = errno;
    ::rmdir(group.c_str());
    return base::fail_errno("fcntl(F_DUPFD_CLOEXEC)", error);
  }
  groups_[pid] = group;
  const std::lock_guard lock(mutex_);
  if (!mover_.joinable()) mover_ = std::thread([this] { move_all(); });
  moves_.push_back({pid, std::move(copy), group});
  changed_.notify_one();
  return {};
}

void WorkerCgroups::move_all() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stopping_ || !moves_.empty(); });
    if (stopping_) return;
    const Move move = std::move(moves_.front());
    moves_.pop_front();
    lock.unlock();
    // The number is still that process's: it has not been reaped when it has not ended.
    if (!has_ended(move.pidfd.get())) {
      const auto moved = write_text(move.group + "/cgroup.procs", std::to_string(move.pid));
      if (!moved && moved.error().os_errno != ESRCH) {
        base::log_warning("worker {} gets no control group of its own: {}", move.pid,
                          moved.error().message);
      }
    }
    lock.lock();
  }
}

bool WorkerCgroups::killed_for_memory(pid_t pid) const {
  const auto found = groups_.find(pid);
  return found != groups_.end() &&
         read_oom_kills(as_group(found->second).counter()).value_or(0) > 0;
}

void WorkerCgroups::remove(pid_t pid) {
  auto found = groups_.extract(pid);
  if (found.empty()) return;
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(moves_, [pid](const Move& move) { return move.pid == pid; });
  }
  left_over_.push_back(std::move(found.mapped()));
  remove_left_over();
}

void WorkerCgroups::remove_left_over() {
  std::erase_if(left_over_, [](const std::string& group) {
    return ::rmdir(group.c_str()) == 0 || errno != EBUSY;
  });
}

}  // namespace corn::os
