// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/result.h"

namespace corn::driver {

// Replaces the file as a whole, mode 0600: a reader sees the old text or the new one. Not synced to
// disk: it is of use only until the machine stops.
base::Status write_state_file(const std::string& path, const std::string& text);

// With what a writer left that was killed while it wrote.
void remove_state_file(const std::string& path);

}  // namespace corn::driver
