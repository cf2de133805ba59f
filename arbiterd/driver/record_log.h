// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "arbiterd/core/types.h"
#include "base/worker_config.h"

namespace corn::driver {

// Writes an event of the history to the error log, in words and at the level it deserves. What
// workers write about themselves ("Booting worker with pid: 4711", a boot's traceback) isn't
// repeated.
void log_record(const core::Record& record);

}  // namespace corn::driver
