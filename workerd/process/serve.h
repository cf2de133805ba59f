// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.h"
#include "base/worker_config.h"
#include "workerd/link/link.h"
#include "workerd/process/control.h"

namespace corn::process {

// Copies of a worker's descriptors, for the arbiterd that may adopt it.
base::Result<link::Estate> make_estate(const base::WorkerConfig& config);

// A worker's life from loading the application to its last request; gives the exit status. Takes
// the descriptors from kScoreboardFd on.
int serve(const base::WorkerConfig& config, link::Link& link, Control& control);

}  // namespace corn::process
