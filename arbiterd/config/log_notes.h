// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "arbiterd/config/given.h"
#include "base/worker_config.h"

namespace corn::config {

// Whether a configuration of Python's logging does something with gunicorn's loggers that Corn's
// own lines, which Python doesn't write, can't follow: a sentence that says so, or "". Reads the
// file that is named; one that can't be read is the workers' to complain of.
std::string log_configuration_note(const InForceByName& in_force, const base::WorkerConfig& worker);

}  // namespace corn::config
