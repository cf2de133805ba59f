// SPDX-License-Identifier: Apache-2.0
#include "stacks/stopped_thread.h"

#include <sys/ptrace.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <ctime>
#include <utility>

namespace corn::stacks {
namespace {

// Between two looks at a thread that hasn't stopped yet; nothing in the kernel waits with a limit.
constexpr timespec kPause{0, 200'000};

}  // namespace

base::Result<StoppedThread> StoppedThread::stop(pid_t thread, base::Duration limit) {
  // Unlike PTRACE_ATTACH this sends no signal, and leaves alone what is stopped already.
  if (::ptrace(PTRACE_SEIZE, thread, nullptr, nullptr) != 0) {
    if (errno == ESRCH) return base::fail("it has ended", ESRCH);
    return base::fail_errno("it can't be traced", errno);
  }
  if (::ptrace(PTRACE_INTERRUPT, thread, nullptr, nullptr) != 0) {
    return base::fail("it has ended", errno);
  }
  const base::MonotonicClock clock;
  const base::TimePoint deadline = clock.now() + limit;
  for (;;) {
    int status = 0;
    const pid_t found = ::waitpid(thread, &status, __WALL | WNOHANG);
    if (found == thread && WIFSTOPPED(status)) {
      // PTRACE_EVENT_STOP is our own doing or a stop of the whole process; anything else is a
      // signal on its way to the thread.
      const bool event = status >> 16 != 0;
      return StoppedThread(thread, event ? 0 : WSTOPSIG(status));
    }
    if (found == thread || (found < 0 && errno != EINTR)) return base::fail("it has ended", ESRCH);
    if (clock.now() >= deadline) {
      // Not to be had back by PTRACE_DETACH, which wants it stopped; the kernel does so at the end
      // of this process.
      return base::fail("it does not stop: the kernel lets nobody interrupt what it is in", EBUSY);
    }
    ::nanosleep(&kPause, nullptr);
  }
}

StoppedThread::StoppedThread(StoppedThread&& other) noexcept
    : thread_(std::exchange(other.thread_, 0)), signal_(other.signal_) {}

StoppedThread::~StoppedThread() {
  if (thread_ != 0) ::ptrace(PTRACE_DETACH, thread_, nullptr, signal_);
}

}  // namespace corn::stacks
