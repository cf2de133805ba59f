// SPDX-License-Identifier: Apache-2.0
// The script whose process became this arbiter (Python API): its Python state lives on in a child
// that forks whatever needs it. The environment tells the channel to it.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "arbiterd/driver/fork_server.h"
#include "arbiterd/driver/launch_plan.h"
#include "arbiterd/os/child_watch.h"
#include "arbiterd/os/loop.h"
#include "base/channel.h"
#include "base/result.h"

namespace corn::driver {

// Number of the channel's descriptor. -1: there is a script, which this program may not use (it
// only checks whether it could take over).
inline constexpr const char* kScriptVariable = "CORN_SCRIPT_FD";
// The script's pid, told by the program before this one; a script introduces itself only once.
inline constexpr const char* kScriptPidVariable = "CORN_SCRIPT_PID";

class ScriptProcess {
 public:
  // From the environment, whose variables are removed; null: there is no script. Waits for the
  // script to introduce itself.
  static base::Result<std::unique_ptr<ScriptProcess>> take();

  ~ScriptProcess();
  ScriptProcess(const ScriptProcess&) = delete;
  ScriptProcess& operator=(const ScriptProcess&) = delete;

  [[nodiscard]] int descriptor() const { return channel_.descriptor(); }
  [[nodiscard]] pid_t pid() const { return pid_; }

  // Served by this loop from now on, until detach(); both outlive that.
  base::Status attach(os::EventLoop& loop, os::ChildWatch& children);
  void detach();

  // Forks a child that gets nothing but its channel. While attached; `done` is called once, maybe
  // from within.
  using Done = std::function<void(base::Result<LaunchedWorkerd>)>;
  void fork(PreparedFork prepared, Done done);

  // Tells it that its arbiter ends with `status`, and waits until it has left run() and ended, as
  // long as `limit`; then it is killed. Not while attached.
  void leave(int status, base::Duration limit);

 private:
  ScriptProcess(base::Channel channel, pid_t pid, base::UniqueFd pidfd);
  void on_channel();
  void on_exit(const os::ExitStatus& status);

  base::Channel channel_;
  const pid_t pid_;
  const base::UniqueFd pidfd_;
  std::string ended_;  // how, once it has
  std::uint64_t last_token_ = 0;

  // While attached.
  os::EventLoop* loop_ = nullptr;
  os::ChildWatch* children_ = nullptr;
  std::optional<ForkServer> server_;
};

}  // namespace corn::driver
