// SPDX-License-Identifier: Apache-2.0
// Options in the table's spelling, from the command line or a variable such as CORN_CMD_ARGS.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "arbiterd/config/given.h"
#include "base/result.h"

namespace corn::config {

// Reads options as gunicorn's command line takes them: "-w 2", "-w2", "-w=2", "--workers 2",
// "--workers=2", long options shortened as far as they stay unambiguous, and "--" before an
// argument that begins with a dash. The one argument that is not an option is the application.
// Values are not checked; `origin` ("command line") names the source in errors and in what is
// returned.
base::Result<Layer> parse_options(const std::vector<std::string>& arguments,
                                  const std::string& origin);

}  // namespace corn::config
