// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "arbiterd/core/types.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace corn::driver {

// Replaces the file as a whole, mode 0600: a reader sees the old text or the new one. Not synced to
// disk: it is of use only until the machine stops.
base::Status write_state_file(const std::string& path, const std::string& text);

// With what a writer left that was killed while it wrote, and the file of departures.
void remove_state_file(const std::string& path);

// Beside the state file lies one in which workers that leave while they have no arbiter note so,
// through a descriptor that they inherit. Opens it, empty, for them to append; an empty descriptor
// when that fails.
base::UniqueFd open_departures(const std::string& state_file);
// The cause that a worker gives for leaving by itself; nullopt: it is none of those.
std::optional<core::Cause> departure_cause(std::string_view name);
// Who left, and why. What can't be read is passed over: workers are not trusted.
std::map<core::WorkerId, core::Cause> read_departures(const std::string& state_file);

}  // namespace corn::driver
