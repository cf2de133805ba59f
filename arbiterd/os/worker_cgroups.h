// SPDX-License-Identifier: Apache-2.0
// A memory control group for each worker (cgroups(7), either version), so that a kill for want of
// memory shows in the worker's own count and need not be inferred from one that others share.
//
// Moving a process into a group takes the kernel 5 to 20 ms, in which no process of the machine
// can fork (measured; it waits for a grace period), so a thread of its own does it, and groups are
// made for those who ask for them only. Groups are named after pids: the arbiter that takes
// a worker over finds its group again.
//
// One thread, but for what this file's own does.
#pragma once

#include <sys/types.h>

#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "arbiterd/os/memory_cgroup.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace corn::os {

class WorkerCgroups {
 public:
  // Groups are made in `directory`, a group of a mounted memory hierarchy that this process may
  // write to and, in version 2, that has no processes of its own. Empty: the group this process
  // is in, which can do in version 1 only. The error says what is missing.
  static base::Result<std::unique_ptr<WorkerCgroups>> open(const std::string& directory);

  // Ends the thread. Groups that still have processes stay.
  ~WorkerCgroups();
  WorkerCgroups(const WorkerCgroups&) = delete;
  WorkerCgroups& operator=(const WorkerCgroups&) = delete;

  // Gives process `pid`, which `pidfd` refers to and which is not reaped before remove(), a group
  // of its own, in a moment. One that it has already is kept. On failure it stays where it is.
  base::Status add(pid_t pid, int pidfd);

  // Whether the kernel has killed a process of the group for want of memory: the worker or one that
  // it had started.
  [[nodiscard]] bool killed_for_memory(pid_t pid) const;

  // The process has ended. What it has started may live on in the group, which is then removed by a
  // later call.
  void remove(pid_t pid);

 private:
  struct Move {
    pid_t pid = 0;
    base::UniqueFd pidfd;
    std::string group;
  };

  explicit WorkerCgroups(MemoryCgroup parent);
  base::Status probe() const;
  [[nodiscard]] std::string group_of(pid_t pid) const;
  [[nodiscard]] MemoryCgroup as_group(const std::string& directory) const;
  void remove_left_over();
  void move_all();

  const MemoryCgroup parent_;
  std::map<pid_t, std::string> groups_;
  std::vector<std::string> left_over_;  // of workers that have ended, with processes in them

  std::thread mover_;
  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  std::deque<Move> moves_;  // at most one for each worker
  bool stopping_ = false;
};

}  // namespace corn::os
