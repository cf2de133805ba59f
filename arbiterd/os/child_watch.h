// SPDX-License-Identifier: Apache-2.0
// Ends of child processes, seen through pidfds. Nothing here waits for "any child": each watched
// child is reaped through its own pidfd, so that no exit is lost or taken from somebody else, and
// signals go through the pidfd too, so that they can't hit a process that got the number later.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>

#include "arbiterd/os/loop.h"
#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace corn::os {

struct ExitStatus {
  enum class Kind : std::uint8_t {
    kExited,    // by exit(2) or return from main
    kSignaled,  // killed by a signal
    kLost,      // ended, but not our child: how is unknown
  };
  Kind kind = Kind::kLost;
  int code = 0;  // kExited: status 0 to 255; kSignaled: the signal's number
  bool core_dumped = false;
  base::Duration cpu_time{};  // user and system time of the process and its waited-for children
  // Largest resident size it ever had; at least that of arbiterd, whose memory it shared until
  // exec.
  std::uint64_t max_rss_bytes = 0;
  bool operator==(const ExitStatus&) const = default;
};

// Tests put a scripted one in its place. Loop thread only.
class ChildWatch {
 public:
  using ExitCallback = std::function<void(pid_t pid, const ExitStatus& status)>;

  virtual ~ChildWatch() = default;

  // Calls `callback` once, from the loop and never from within watch(), when process `pid`, which
  // `pidfd` refers to, has ended. It is reaped and forgotten by then.
  virtual base::Status watch(pid_t pid, base::UniqueFd pidfd, ExitCallback callback) = 0;

  // Stops watching, without reaping; the pidfd is closed. Unknown pids are ignored.
  virtual void unwatch(pid_t pid) = 0;

  // Sends `signal` to a watched process. ESRCH when it has ended or isn't watched.
  virtual base::Status send_signal(pid_t pid, int signal) = 0;

  // Reaps children that nobody watches: what PID 1 inherits, what the program that exec'd arbiterd
  // left behind, or what was inherited while a child was expected. To be called at SIGCHLD. A
  // watched child is never taken.
  virtual void reap_strangers() = 0;

  // While another process is making a child of ours, by a process in between that ends: this one is
  // the child subreaper of all that descend from it (prctl(2)), and inherits it. Nobody can tell
  // such a child from a stranger: reap_strangers() leaves all of them alone, and what it left is
  // looked for when the last expected child has been watched or given up. One call each.
  virtual void expect_child() = 0;
  virtual void end_expectation() = 0;
};

class PidfdChildWatch final : public ChildWatch {
 public:
  // `loop` must outlive this object. `on_stranger`, if given, hears of every stranger reaped. What
  // an earlier program of this process expected is over: it inherits no orphans.
  explicit PidfdChildWatch(EventLoop& loop, ExitCallback on_stranger = nullptr);
  ~PidfdChildWatch() override;
  PidfdChildWatch(const PidfdChildWatch&) = delete;
  PidfdChildWatch& operator=(const PidfdChildWatch&) = delete;

  base::Status watch(pid_t pid, base::UniqueFd pidfd, ExitCallback callback) override;
  void unwatch(pid_t pid) override;
  base::Status send_signal(pid_t pid, int signal) override;
  void reap_strangers() override;
  void expect_child() override;
  void end_expectation() override;

  // The descriptor of a watched child, -1 if `pid` isn't watched; owned by this object.
  [[nodiscard]] int pidfd(pid_t pid) const;

 private:
  struct Watched {
    base::UniqueFd pidfd;
    ExitCallback callback;
  };

  void on_readable(pid_t pid);

  EventLoop& loop_;
  const ExitCallback on_stranger_;
  std::unordered_map<pid_t, Watched> watched_;
  // A watched child, dead but not yet reaped, hides the strangers behind it from waitid.
  bool strangers_hidden_ = false;
  std::size_t expected_ = 0;     // children that are being made elsewhere
  bool strangers_left_ = false;  // reap_strangers() was called meanwhile
};

// Opens a pidfd of a process that wasn't launched here. Check read_start_time() afterwards: the
// number may have been given to another process.
base::Result<base::UniqueFd> open_pidfd(pid_t pid);

// The same of a child of this process, dead or alive but not reaped; anything else is refused, so
// that a number somebody told can't mean a foreign process.
base::Result<base::UniqueFd> open_child(pid_t pid);

// Proportional size in bytes (resident, with shared pages divided among those who share them), from
// /proc/PID/smaps_rollup. The kernel walks the process's pages for it.
base::Result<std::uint64_t> read_pss(pid_t pid);

// Resident size in bytes, from /proc/PID/statm.
base::Result<std::uint64_t> read_rss(pid_t pid);

// When the process started, in clock ticks since boot: /proc/PID/stat field 22 (proc(5)). Together
// with the pid it names a process for as long as the machine is up.
base::Result<std::uint64_t> read_start_time(pid_t pid);

}  // namespace corn::os
