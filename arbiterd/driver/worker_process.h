// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "arbiterd/core/types.h"
#include "base/channel.h"
#include "base/scoreboard.h"

namespace corn::driver {

// A worker as the driver holds it, from its start until its end has been told to the core.
struct WorkerProcess {
  core::WorkerId id;
  std::string pool;
  core::Generation generation = 0;
  std::uint32_t age = 0;
  pid_t pid = 0;
  std::uint64_t start_time = 0;  // os::read_start_time()
  std::uint32_t threads = 1;
  bool measure_memory = false;    // the pool has a memory limit
  bool shares_memory = false;     // with the template it was forked from
  std::uint64_t log_reopens = 0;  // how often logs had been opened anew when it was planned
  // Both empty for a worker of an earlier arbiter that hasn't been heard of yet.
  base::Channel channel;
  base::ScoreboardMap scoreboard;
};

}  // namespace corn::driver
