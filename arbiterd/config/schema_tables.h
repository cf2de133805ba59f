// SPDX-License-Identifier: Apache-2.0
// The parts that the table of settings is put together from, one file each.
#pragma once

#include <vector>

#include "arbiterd/config/schema.h"

namespace corn::config {

std::vector<Setting> program_settings();   // --config, --help and the like
std::vector<Setting> serving_settings();   // application and listeners
std::vector<Setting> worker_settings();    // workers, limits in time, recycling
std::vector<Setting> asgi_settings();      // the worker class asgi
std::vector<Setting> request_settings();   // HTTP parsing, bodies and proxies
std::vector<Setting> logging_settings();   // syslog, StatsD, Python's logging
std::vector<Setting> process_settings();   // logs, privileges, control
std::vector<Setting> gunicorn_settings();  // what gunicorn has and Corn refuses or need not have
std::vector<Setting> preload_settings();   // the template process
std::vector<Setting> hook_settings();      // gunicorn's server hooks, in Python files
std::vector<Setting> refused_hook_settings();

}  // namespace corn::config
