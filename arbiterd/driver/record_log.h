// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <string>

#include "arbiterd/core/types.h"
#include "base/worker_config.h"

namespace corn::driver {

// The history's events in the error log, in words and at the level they deserve. What workers write
// about themselves ("Booting worker with pid: 4711") isn't repeated, and a traceback that several
// workers die of is written once.
class RecordLog {
 public:
  void write(const core::Record& record);

  // `text` without the tracebacks that were written already, or (`of_this_reload`) since the last
  // reload has begun: each says why it failed. From here on its own are.
  std::string without_known(std::string text, bool of_this_reload = false);

 private:
  struct Known {
    std::string text;
    bool of_this_reload = false;
  };

  std::deque<Known> known_;  // until there is a new log file; newest first
};

}  // namespace corn::driver
