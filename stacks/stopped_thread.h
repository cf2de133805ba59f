// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include "base/clock.h"
#include "base/result.h"

namespace corn::stacks {

// A thread of another process that stands still as long as this object lives, so that its registers
// and stack can be read: ptrace(2). Afterwards it goes on as if nothing had happened: a signal that
// came meanwhile is delivered, and what was stopped (SIGSTOP) stays stopped. Should this process be
// killed meanwhile, the kernel lets the thread go on all the same.
class StoppedThread {
 public:
  // Waits for up to `limit` until it stands. Fails, with the thread as it was, when it has ended,
  // must not be traced, or doesn't stop: in uninterruptible sleep it can't.
  static base::Result<StoppedThread> stop(pid_t thread, base::Duration limit);

  StoppedThread(StoppedThread&& other) noexcept;
  StoppedThread& operator=(StoppedThread&&) = delete;
  ~StoppedThread();

 private:
  StoppedThread(pid_t thread, int signal) : thread_(thread), signal_(signal) {}

  pid_t thread_;  // 0: moved from
  int signal_;    // to be delivered when it goes on; 0: none
};

}  // namespace corn::stacks
