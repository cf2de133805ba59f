// SPDX-License-Identifier: Apache-2.0
// top, logs: named here so that nobody takes them for typing errors, and refused.
#include <string>

#include "ctl/commands.h"

namespace corn::ctl {

Outcome run_later(const std::string& command) {
  return fail(ExitCode::kFailed, "the command '" + command +
                                     "' is not in this version of Corn (" CORN_VERSION ") yet");
}

}  // namespace corn::ctl
