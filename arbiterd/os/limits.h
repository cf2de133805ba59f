// SPDX-License-Identifier: Apache-2.0
// What a process sets right about itself once, in main(), before any thread exists.
#pragma once

#include <sys/resource.h>

#include "base/result.h"

namespace corn::os {

// Opens /dev/null on those of 0, 1 and 2 that are closed, so that no socket is ever mistaken for
// standard output.
base::Status ensure_standard_descriptors();

// Raises the soft RLIMIT_NOFILE to the hard limit. Returns what it was, to be restored in children:
// programs that use select(2) break above 1024.
base::Result<rlimit> raise_descriptor_limit();

// Makes the kernel size the descriptor table for `descriptors` entries now. In a process with
// threads each later growth waits for an RCU grace period (10 to 17 ms). A count above the soft
// RLIMIT_NOFILE is cut to it.
base::Status reserve_descriptors(unsigned descriptors);

// True for PID 1 of a container or machine, whose duty it is to reap strangers.
bool is_init_process();

}  // namespace corn::os
