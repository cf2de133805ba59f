// SPDX-License-Identifier: Apache-2.0
// Making a child by fork(2), or rather by what stands behind it, that is its maker's sibling: a
// child of arbiterd's from its first moment on.
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
// process group of its own, and the signals of QuietSignals blocked until allow_signals(). Main
// thread, without the interpreter's lock. A lock of the C library that another thread holds at that
// moment stays locked in the copy: fork(3) would have taken it first, a clone with another parent
// can't.
base::Result<pid_t> fork_sibling();
void allow_signals();

// Gives the calling process, which has one thread, what arbiterd gives to a child that it starts by
// exec(2). Its last step is to give up privileges.
base::Status settle(const base::Fork& order);

// How old the worker is to be whose Configure waits in `channel`; 0: there is none.
std::uint32_t age_of_next(const base::UniqueFd& channel);

}  // namespace corn::process
