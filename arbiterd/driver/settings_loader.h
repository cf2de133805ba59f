// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "arbiterd/config/sources.h"
#include "arbiterd/driver/errand.h"

namespace corn::driver {

// Reads all settings of an invocation anew; a Python file is evaluated by a config host. Calls
// `done` from the loop, never from within. Loop thread only.
void load_settings(const ErrandContext& context, const LaunchContext& launch,
                   const config::Invocation& invocation,
                   std::function<void(base::Result<config::Settings>)> done);

// Loads every pool's application in a process of its own and reports the first failure, with its
// traceback.
void check_applications(const ErrandContext& context, const LaunchContext& launch,
                        const config::Settings& settings, std::function<void(base::Status)> done);

// The same two while there is no arbiter yet: on a loop of their own, until done or until TERM, INT
// or QUIT comes. Then they fail, nothing is left running, and `*signal` is that signal's number;
// with null they go on, and the signal stays pending. `script`: null, or not attached.
base::Result<config::Settings> load_settings_now(const LaunchContext& launch,
                                                 const config::Invocation& invocation,
                                                 ScriptProcess* script, int* signal);
base::Status check_applications_now(const LaunchContext& launch, const config::Settings& settings,
                                    ScriptProcess* script, int* signal);

}  // namespace corn::driver
