// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include "arbiterd/config/command_line.h"
#include "arbiterd/config/given.h"
#include "arbiterd/config/sources.h"
#include "base/result.h"

namespace corn::config {

// What an invocation gives by itself, weaker first.
struct InvocationLayers {
  Layer variable;  // CORN_CMD_ARGS, else GUNICORN_CMD_ARGS
  Layer command_line;
};

base::Result<InvocationLayers> invocation_layers(
    const std::vector<std::string>& arguments,
    const std::map<std::string, std::string>& environment);

// The configuration file for messages: relative to the working directory where it is inside.
std::string shown_config_file(const Invocation& invocation);

}  // namespace corn::config
