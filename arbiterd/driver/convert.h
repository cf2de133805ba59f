// SPDX-License-Identifier: Apache-2.0
// Between the value types of the rooms below.
#pragma once

#include "arbiterd/core/types.h"
#include "arbiterd/os/child_watch.h"

namespace corn::driver {

inline core::ExitStatus to_core(const os::ExitStatus& status) {
  core::ExitStatus result;
  result.known = status.kind != os::ExitStatus::Kind::kLost;
  result.code = status.kind == os::ExitStatus::Kind::kExited ? status.code : 0;
  result.signal = status.kind == os::ExitStatus::Kind::kSignaled ? status.code : 0;
  result.core_dumped = status.core_dumped;
  result.cpu_time = status.cpu_time;
  result.max_rss_bytes = status.max_rss_bytes;
  return result;
}

}  // namespace corn::driver
