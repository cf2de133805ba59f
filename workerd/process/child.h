// SPDX-License-Identifier: Apache-2.0
// One child of arbiterd: from its channel, in which a Configure waits, to its exit status.
#pragma once

#include "base/unique_fd.h"

namespace corn::process {

// Reads what the process is to do, brings it up to that, does it, and takes it down in order.
// `channel` is kChannelFd; the role's other descriptors have the numbers of base/worker_config.h.
// Main thread, before other threads.
int run_child(base::UniqueFd channel);

}  // namespace corn::process
