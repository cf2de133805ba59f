// SPDX-License-Identifier: Apache-2.0
// What a worker is doing: its own word (Python stacks, over the channel), the kernel's (states and
// wait channels of its threads), the scoreboard's (requests) and a tracer's (native stacks). The
// last three need no help of the worker's, so that there is always an answer, within kDumpLimit and
// kNativeLimit together.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "arbiterd/core/types.h"
#include "arbiterd/driver/door/door.h"
#include "arbiterd/driver/native_stacks.h"
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
  // read_native_stacks().
  using ReadNative = std::function<void(pid_t, std::function<void(NativeStacks)>)>;

  // `loop` and `timers` outlive it; it outlives what it has `read_native` do.
  Dumps(os::EventLoop& loop, Timers& timers, FindWorker find, IsBooting is_booting,
        ReadNative read_native);

  // `done` is called once: when the native stacks are there, which are read when the worker has
  // answered, is not to be waited for or hasn't answered in time; or when it has ended. Who asks
  // for a worker that is being asked already gets the same answer. `patience`: how long the
  // worker's answer is waited for, if shorter than kDumpLimit; zero: that.
  void begin(const WorkerProcess& worker, Done done, base::Milliseconds patience = {});
  void on_result(const WorkerProcess& worker, const base::DumpResult& result);
  // The worker has ended.
  void on_exit(core::WorkerId worker, pid_t pid);

 private:
  struct Waiting {
    std::uint64_t token = 0;
    std::vector<Done> callbacks;
    std::optional<Timers::Id> timer;  // while the worker's answer is awaited
    WorkerDump dump;                  // all but the native stacks, while these are awaited
  };

  void add_native(core::WorkerId id, WorkerDump dump);
  void finish(core::WorkerId id, const WorkerDump& dump);
  [[nodiscard]] WorkerDump view(const WorkerProcess& worker, const base::DumpResult* result,
                                base::Milliseconds limit = kDumpLimit) const;

  os::EventLoop& loop_;
  Timers& timers_;
  const FindWorker find_;
  const IsBooting is_booting_;
  const ReadNative read_native_;
  std::map<core::WorkerId, Waiting> waiting_;
  std::uint64_t last_token_ = 0;
};

}  // namespace corn::driver
