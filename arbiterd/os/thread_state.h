// SPDX-License-Identifier: Apache-2.0
// What the kernel shows of a process's threads, whatever state the process is in: proc(5).
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <vector>

#include "base/result.h"

namespace corn::os {

struct ThreadState {
  pid_t id = 0;
  std::string name;  // at most 15 bytes, whatever bytes the thread chose
  // R running, S asleep, D in uninterruptible sleep, T stopped, t stopped by a debugger, Z ended;
  // '?' where it can't be read.
  char state = '?';
  // The kernel's function that it sleeps in; empty where it doesn't, or the kernel doesn't tell.
  std::string wait_channel;
};

struct ThreadStates {
  std::vector<ThreadState> threads;  // by id
  std::size_t left_out = 0;          // beyond `limit`
};

// Takes a few small reads a thread, and never waits for the process. Threads that end meanwhile are
// left out. Fails when there is no such process, or it is hidden from this user.
base::Result<ThreadStates> read_thread_states(pid_t pid, std::size_t limit);

}  // namespace corn::os
