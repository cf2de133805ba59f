// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.h"
#include "base/worker_config.h"

namespace corn::python {

// Gives Python's logging the loggers that gunicorn's users know, gunicorn.error (which leads to
// this process's error log) and gunicorn.access. What was done in the process this one is forked
// from is not done again. The interpreter runs; without its lock.
base::Status make_loggers(const base::WorkerConfig& config);

// The same, and configures logging as the settings say: logconfig_dict, logconfig_json or
// logconfig. Before the application is loaded. The error names the setting and what is wrong.
base::Status set_up_logging(const base::WorkerConfig& config);

}  // namespace corn::python
