// SPDX-License-Identifier: Apache-2.0
// The signals a worker obeys, as levels: a set that fills up, and a descriptor that becomes
// readable.
//
// They are caught by handlers, not blocked and read from a signalfd: a blocked mask would be
// inherited by every program the application starts (Python's subprocess uses vfork(2), which no
// fork handler sees), and those could then not be ended by SIGTERM. Handlers are reset by exec(2),
// and a forked child of the application gets the default actions back. System calls are restarted
// (SA_RESTART), so that an application notices nothing. A worker stuck in the kernel takes no
// signal; the channel reaches its link thread all the same.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "base/unique_fd.h"

namespace corn::link {

// A bit for each of the signals obeyed.
struct SignalSet {
  bool terminate = false;    // SIGTERM: finish what is in flight
  bool by_parent = false;    // SIGTERM came from the parent process
  bool quit = false;         // SIGINT, SIGQUIT: at once
  bool reopen_logs = false;  // SIGUSR1
  bool abort = false;        // SIGABRT: show every stack, then die of it

  [[nodiscard]] bool any() const { return terminate || quit || reopen_logs || abort; }
};

// Installs the handlers; SIGPIPE and SIGXFSZ are ignored, as under the python3 program. `wake_fd`,
// an eventfd that stays open for as long as the process lives, is written whenever a signal comes.
// Main thread, once, before other threads.
base::Status install_signal_handlers(int wake_fd);

// Puts handlers back that were replaced; gives their number, without SIGABRT. Who had taken that
// one (faulthandler) gets it back when a thread calls abort(3): that is a crash, not an order from
// outside. Main thread.
int reclaim_signal_handlers();

// The signals that have come since the last call. Any thread.
SignalSet take_signals();

// Ends the process by SIGABRT's default action, core dump included. Any thread.
[[noreturn]] void die_of_abort();

}  // namespace corn::link
