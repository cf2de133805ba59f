// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/message.h"

namespace corn::python {

// Runs a Python configuration file (a path, "file:PATH" or "python:MODULE") and gives what it
// assigns at its top level, or why it can't be had: always a message that fits the channel,
// ConfigValues or ConfigFailed. Runs foreign code, which may take its time. Without the lock.
base::Message evaluate_config_file(const std::string& location);

}  // namespace corn::python
