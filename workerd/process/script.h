// SPDX-License-Identifier: Apache-2.0
// The script process of the Python API: a python3 whose BaseApplication.run() made its other half
// arbiterd. Whatever needs the script's Python state is forked from it.
#pragma once

#include <Python.h>

#include "base/unique_fd.h"

namespace corn::process {

// Obeys arbiterd until that lets the script go on, or has gone (1); gives the exit status. In the
// processes forked here it does not return. `application` is the script's BaseApplication. Main
// thread, with the interpreter's lock.
int serve_script(base::UniqueFd channel, PyObject* application);

}  // namespace corn::process
