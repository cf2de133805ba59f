// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/message.h"
#include "base/result.h"
#include "workerd/runtimes/python/object.h"

namespace corn::python {

// Runs a Python configuration file (a path, "file:PATH" or "python:MODULE") and gives what it
// assigns at its top level, or why it can't be had: always a message that fits the channel,
// ConfigValues or ConfigFailed. Runs foreign code, which may take its time. Without the lock.
base::Message evaluate_config_file(const std::string& location);
// The same of a script: an application of the Python API.
base::Message evaluate_script(PyObject* application);

// Runs the file, of which everything stays as it is, and gives what it defines: a dictionary.
// An empty location defines nothing. Fails with the text of ConfigFailed. Without the lock, which
// is needed to destroy the result.
base::Result<Ref> config_namespace(const std::string& location);
// Has the script's configuration made anew; it defines nothing. Likewise.
base::Result<Ref> reload_script(PyObject* application);

}  // namespace corn::python
