// SPDX-License-Identifier: Apache-2.0
// The Python parts of this room, compiled into the program (see CMakeLists.txt) so that they can't
// be missing, shadowed by an application's modules, or of another version.
#pragma once

#include "workerd/runtimes/python/object.h"

namespace corn::python {

extern const char* const kLoaderSource;         // loader.py
extern const char* const kConfigFileSource;     // config_file.py
extern const char* const kHooksSource;          // hooks.py
extern const char* const kHookArgumentsSource;  // hook_arguments.py
extern const char* const kHookObjectsSource;    // hook_objects.py
extern const char* const kHookViewSource;       // hook_view.py
extern const char* const kLoggingSetupSource;   // logging_setup.py
extern const char* const kStandInsSource;       // stand_ins.py

// Runs a source as a module of its own, not entered in sys.modules, and gives its namespace's
// `name`. `file` is shown in tracebacks, and is what the source finds as __file__. With the lock
// held; null with an exception set when that fails.
Ref run_embedded(const char* source, const char* file, const char* name);

// Makes a source a module that other sources import by `name`. Such names begin with "_corn_", and
// it is in sys.modules before anybody imports it, so that nothing shadows it. Once in a process
// is enough. False with an exception set when that fails. With the lock held.
bool share_embedded(const char* source, const char* name);

}  // namespace corn::python
