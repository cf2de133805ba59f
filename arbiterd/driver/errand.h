// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>

#include "arbiterd/driver/launch_plan.h"
#include "arbiterd/driver/timers.h"
#include "arbiterd/os/child_watch.h"
#include "arbiterd/os/loop.h"
#include "base/message.h"

namespace corn::driver {

class Errand;
class ScriptProcess;

// What errands run on; all outlive them. Loop thread only.
struct ErrandContext {
  os::EventLoop& loop;
  os::ChildWatch& children;
  os::ProcessLauncher& launcher;
  Timers& timers;
  ScriptProcess* script = nullptr;  // whose forks all processes are; null: workerd is executed
  std::set<Errand*>* under_way = nullptr;  // where somebody wants to call them off
};

// Starts a process that gets nothing but a channel: workerd, or a fork of the script, which takes
// a few turns. `done` is called once, maybe from within.
void start_process(const ErrandContext& context, const LaunchContext& launch,
                   const config::PoolSettings& pool, const base::WorkerConfig& config,
                   std::function<void(base::Result<LaunchedWorkerd>)> done);

// One workerd process sent out for one answer: the values of a Python configuration file (config
// host), or whether an application loads (check). It owns the process: whatever happens, it has
// ended when `done` is called, and the errand is forgotten after that.
class Errand : public std::enable_shared_from_this<Errand> {
 public:
  // Ready, BootFailed, ConfigValues or ConfigFailed; or why there is none.
  using Done = std::function<void(base::Result<base::Message>)>;

  // `name` stands in error messages: "the configuration file /etc/corn.py". `limit`: time until the
  // process is killed. `done` is called from the loop, never from within start().
  static void start(const ErrandContext& context, const LaunchContext& launch,
                    const config::PoolSettings& pool, const base::WorkerConfig& config,
                    std::string name, base::Duration limit, Done done);
  ~Errand();
  Errand(const Errand&) = delete;
  Errand& operator=(const Errand&) = delete;

  // Kills its process, with the programs it has started: `done` is called with `why` when that has
  // ended, or from within while there is none.
  void call_off(const std::string& why);

 private:
  Errand(const ErrandContext& context, std::string name, Done done);
  void on_start(base::Result<LaunchedWorkerd> launched);
  void finish_later(const base::Error& error);
  void on_channel();
  void on_exit(const os::ExitStatus& status);

  ErrandContext context_;
  std::string name_;
  Done done_;
  pid_t pid_ = 0;
  base::Channel channel_;
  std::optional<base::Message> answer_;
  Timers::Id timer_{};
  std::string why_killed_;
};

}  // namespace corn::driver
