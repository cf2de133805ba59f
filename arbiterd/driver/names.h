// SPDX-License-Identifier: Apache-2.0
// Words that people see for values of the rooms below.
#pragma once

#include "arbiterd/core/types.h"
#include "base/worker_config.h"

namespace corn::driver {

// "sync", "gthread": gunicorn's names.
const char* name_of(base::WorkerClass worker_class);
// "SERVING"
const char* state_of(core::Phase phase);

}  // namespace corn::driver
