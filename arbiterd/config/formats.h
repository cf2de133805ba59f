// SPDX-License-Identifier: Apache-2.0
// Forms of particular settings beyond their kind. Each function answers what is wrong, or nothing.
#pragma once

#include <string>
#include <string_view>

#include "arbiterd/config/value.h"
#include "base/worker_config.h"

namespace corn::config {

std::string bind_problem(const Value& addresses);           // HOST:PORT, unix:PATH, fd://N ...
std::string network_problem(const Value& networks);         // "*", addresses, address/prefix
std::string environment_problem(const Value& assignments);  // NAME=VALUE
std::string user_problem(const Value& user);                // a name or number that exists
std::string group_problem(const Value& group);
std::string application_problem(const Value& application);  // module:callable
std::string worker_class_problem(const Value& name);        // one that is implemented
std::string control_problem(const Value& address);          // unix:PATH
std::string field_name_problem(const Value& headers);       // kDictionary: header fields
std::string instance_name_problem(const Value& name);
std::string access_format_problem(const Value& format);  // %(name)s

// The class that `name` means: "sync", "gthread", "asgi", their class paths in gunicorn and
// uvicorn. The name must have passed worker_class_problem().
base::WorkerClass worker_class_named(std::string_view name);

}  // namespace corn::config
