// SPDX-License-Identifier: Apache-2.0
// What a worker is doing: its own word (Python stacks, over the channel), the kernel's (states and
// wait channels of its threads) and the scoreboard's (requests). The last two can be had from a
// worker in any state, so that there is always an answer, within kDumpLimit.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "arbiterd/core/types.h"
#include "arbiterd/driver/door/door.h"
#include "arbiterd/driver/timers.h"
#include "arbiterd/driver/worker_process.h"
#include "arbiterd/os/loop.h"
#include "base/message.h"

namespace corn::driver {

// Longer than a worker takes at the most to see whether its interpreter's lock can be had
// (workerd/main.cc).
inline constexpr base::Milliseconds kDumpLimit{2000};

// Dumps that wait for their workers' answers. Loop thread only.
class Dumps {
 public:
  using Done = std::function<void(const WorkerDump&)>;
  // The worker with that id if it still runs, and whether it is loading its application.
  using FindWorker = std::function<const WorkerProcess*(core::WorkerId)>;
  using IsBooting = std::function<bool(core::WorkerId)>;

  // `loop` and `timers` outlive it.
  Dumps(os::EventLoop& loop, Timers& timers, FindWorker find, IsBooting is_booting);

  // `done` is called once: now when there is nothing to wait for, else by one of those below or by
  // the time limit. Who asks for a worker that is being asked already gets the same answer.
  void begin(const WorkerProcess& worker, Done done);
  void on_result(const WorkerProcess& worker, const base::DumpResult& result);
  // The worker has ended.
  void on_exit(core::WorkerId worker, pid_t pid);

 private:
  struct Waiting {
    std::uint64_t token = 0;
    std::vector<Done> callbacks;
    Timers::Id timer;
  };

  void finish(core::WorkerId id, const WorkerDump& dump);
  [[nodiscard]] WorkerDump view(const WorkerProcess& worker, const base::DumpResult* result) const;

  os::EventLoop& loop_;
  Timers& timers_;
  const FindWorker find_;
  const IsBooting is_booting_;
  std::map<core::WorkerId, Waiting> waiting_;
  std::uint64_t last_token_ = 0;
};

}  // namespace corn::driver
