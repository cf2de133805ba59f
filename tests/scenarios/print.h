// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "arbiterd/core/action.h"

namespace corn::scenarios {

// One line: "spawn w3 web gen 1 age 3 of 2: replaces 1001 (crashed)".
std::string print(const core::Action& action);
// A line for the instance, one for each pool and worker.
std::string print(const core::Snapshot& snapshot, core::TimePoint now);

}  // namespace corn::scenarios
