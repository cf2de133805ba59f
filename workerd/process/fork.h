// SPDX-License-Identifier: Apache-2.0
// Making a process by fork(3) that is its maker's sibling: a child of arbiterd's before anybody
// hears of it.
#pragma once

#include <sys/types.h>

#include <array>
#include <csignal>

#include "base/message.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace corn::process {

// While it lives, the signals that end a service are caught and nothing else: they are sent to all
// processes of a unit, and are arbiterd's business. Programs started meanwhile don't inherit it.
// Main thread.
class QuietSignals {
 public:
  QuietSignals();
  ~QuietSignals() { restore(); }
  QuietSignals(const QuietSignals&) = delete;
  QuietSignals& operator=(const QuietSignals&) = delete;

  void restore();

  static constexpr std::array kSignals = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};

 private:
  std::array<struct sigaction, kSignals.size()> before_{};
  bool active_ = true;
};

// The copy's pid, and 0 in the copy, which has the calling thread alone, Python ready in it, a
// process group of its own, and the signals of QuietSignals blocked until allow_signals(). It is as
// fork(3) leaves it, so that other threads may run meanwhile: the C library's locks are free, and
// libraries' fork handlers (pthread_atfork(3)) have been called. It is made by a process in between
// that ends at once, whereupon `parent` inherits it: the caller's, which has to be a child
// subreaper (prctl(2)) then; where it isn't, or has ended, there is no copy. Main thread, without
// the interpreter's lock.
base::Result<pid_t> fork_sibling(pid_t parent);
void allow_signals();

// Gives the calling process, whose threads may be several, what arbiterd gives to a child that it
// starts by exec(2). Its last step is to give up privileges.
base::Status settle(const base::Fork& order);

// How old the worker is to be whose Configure waits in `channel`; 0: there is none.
std::uint32_t age_of_next(const base::UniqueFd& channel);

}  // namespace corn::process
