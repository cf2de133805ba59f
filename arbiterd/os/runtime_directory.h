// SPDX-License-Identifier: Apache-2.0
// The directory in which running instances keep lock, state and sockets, and the names they have
// there.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace corn::os {

// The longest ending ("NAME" + ending) that a socket in the runtime directory may have, in bytes.
inline constexpr std::size_t kLongestSocketEnding = 16;

// Finds, creates if need be, and checks the runtime directory: $XDG_RUNTIME_DIR/corn, else
// /run/corn for root, else /tmp/corn-UID. A place that can't be created there (no such parent,
// read-only, not permitted) gives way to the next. The directory's mode is 0700, for root 0711, so
// that workers which have dropped privileges reach a socket whose name they know. Fails if the
// directory found isn't a directory of this user, or if others may write or list it: sockets and
// state in it would be at another user's mercy.
base::Result<std::string> prepare_runtime_directory();

// An instance's name: `name` if it isn't empty, else `application` and a short hash of the working
// directory and the listeners. Bytes other than A-Z a-z 0-9 . _ : + @ - are written %XX, a leading
// dot too; a name too long for a socket in `runtime_directory` (sun_path holds 107 bytes) is cut
// and ends in a hash of the whole. The same input gives the same name. Fails when the directory's
// path leaves no room for a name.
base::Result<std::string> instance_name(std::string_view name, std::string_view application,
                                        std::string_view working_directory,
                                        const std::vector<std::string>& listeners,
                                        std::string_view runtime_directory);

}  // namespace corn::os
