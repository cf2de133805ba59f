// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/worker_config.h"
#include "workerd/link/link.h"
#include "workerd/process/control.h"
#include "workerd/process/descriptors.h"

namespace corn::process {

// A worker's life from loading the application to its last request; gives the exit status.
int serve(const base::WorkerConfig& config, link::Link& link, Control& control,
          Descriptors descriptors);

}  // namespace corn::process
