// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string_view>

#include "base/result.h"

namespace corn::base {

// Longest title shown, in bytes.
inline constexpr std::size_t kLongestProcessTitle = 4094;

// Shows `title` as the command line of this process in ps(1) and /proc/PID/cmdline; the command
// name (comm) stays. A longer one is cut. The first call moves the command line to memory of its
// own (PR_SET_MM_MAP of prctl(2), no privilege needed), so that argv and /proc/PID/environ stay as
// they are; later calls, in children by fork too, only write to that memory. Where the kernel
// refuses, the title is written over the strings of argv, cut to their length: a program must not
// rely on argv after this call. Fails when neither works; the title is then what it was.
//
// Not thread-safe, and the first call should come before threads exist: it states the end of the
// heap to the kernel.
Status set_process_title(std::string_view title);

}  // namespace corn::base
