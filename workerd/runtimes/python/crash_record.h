// SPDX-License-Identifier: Apache-2.0
// The last words of a process that crashes, where the error log is JSON: faulthandler writes stacks
// as text, which would be no record. It is given a file in memory to write to, and what it wrote
// there becomes one entry of the log.
#pragma once

#include "base/result.h"

namespace corn::python {

// Takes SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT and returns the descriptor that faulthandler is
// to write to; it stays open as long as the process. To be called before faulthandler.enable(),
// whose handler passes the signal on to the one it found. Once; main thread.
base::Result<int> prepare_crash_record();

}  // namespace corn::python
