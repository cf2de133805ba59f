// SPDX-License-Identifier: Apache-2.0
// The native stacks of a worker's threads, read by corn-stacks (stacks/main.cc): a process of its
// own that traces the worker, so that the loop waits for nothing and a tracer that the kernel keeps
// waiting can be killed.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "arbiterd/driver/errand.h"

namespace corn::driver {

// Until the process is killed; above kTotalLimit of stacks/main.cc.
inline constexpr base::Milliseconds kNativeLimit{3000};

struct NativeStacks {
  std::map<std::uint32_t, std::string> threads;  // by gettid(2); innermost frame first, one a line
  std::string text;  // what is missing and why, in words; empty: nothing
};

// Of what corn-stacks prints; lines that aren't in its format are taken for words.
NativeStacks parse_native_stacks(std::string_view output);

// Calls `done` once, from the loop and never from within this function. corn-stacks is looked for
// beside workerd, then in the libexec directories.
void read_native_stacks(const ErrandContext& context, const LaunchContext& launch, pid_t pid,
                        std::function<void(NativeStacks)> done);

}  // namespace corn::driver
