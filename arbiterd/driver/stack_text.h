// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "arbiterd/driver/door/door.h"

namespace corn::driver {

// What the dump has of one thread, as lines to be put behind a sentence: each begins with a
// newline. Without a stack they say why.
std::string stack_text(const WorkerDump& dump, std::uint32_t thread);

}  // namespace corn::driver
