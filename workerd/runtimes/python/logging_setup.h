// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.h"
#include "base/worker_config.h"

namespace corn::python {

// Gives Python's logging the loggers that gunicorn's users know, gunicorn.error (which leads to
// this process's error log) and gunicorn.access, and configures it as the settings say:
// logconfig_dict, logconfig_json or logconfig. Before the application is loaded; what was done in
// the process this one is forked from is not done again. The error names the setting and what is
// wrong. The interpreter runs; without its lock.
base::Status set_up_logging(const base::WorkerConfig& config);

}  // namespace corn::python
