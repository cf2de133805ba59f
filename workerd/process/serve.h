// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/log_outlets.h"
#include "base/worker_config.h"
#include "workerd/link/link.h"
#include "workerd/process/control.h"
#include "workerd/process/descriptors.h"

namespace corn::process {

// A worker's life from loading the application to its last request; gives the exit status.
// `outlets`: where its log goes beside the file, and where its requests do.
int serve(const base::WorkerConfig& config, link::Link& link, Control& control,
          Descriptors descriptors, base::LogOutlets outlets);

}  // namespace corn::process
