// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "ctl/outcome.h"

namespace corn::ctl {

// What a command line asks for.
using Task = std::function<Outcome()>;

// `arguments` without the program's name. A failure is of the command line (kUsage).
Expected<Task> read_command_line(const std::vector<std::string>& arguments);

// Every command that cornctl obeys.
std::vector<std::string> command_names();

}  // namespace corn::ctl
