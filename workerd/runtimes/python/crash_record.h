// SPDX-License-Identifier: Apache-2.0
// The last words of a process that crashes: the Python stacks, which faulthandler writes, and the
// native one of the thread that crashed. Where the error log is JSON they are one entry of it:
// faulthandler writes text, which would be no record, and is given a file in memory to write to.
#pragma once

#include "base/result.h"

namespace corn::python {

// Takes SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT and returns the descriptor that faulthandler is
// to write to; it stays open as long as the process. To be called before faulthandler.enable(),
// whose handler passes the signal on to the one it found. The process then dies of the signal.
// `log` is the error log's descriptor, `json` its form. Once; main thread.
base::Result<int> prepare_crash_record(int log, bool json);

// In a child by fork(2) of a process that has prepared: its file in memory is its own from now on.
base::Status renew_crash_record();

}  // namespace corn::python
