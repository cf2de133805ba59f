// SPDX-License-Identifier: Apache-2.0
// How a workerd process is started, settings and channel included; common to workers and errands.
#pragma once

#include <sys/resource.h>

#include <memory>
#include <string>
#include <vector>

#include "arbiterd/config/settings.h"
#include "arbiterd/os/process_launcher.h"
#include "base/channel.h"
#include "base/message.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace corn::driver {

// What every child of this arbiter has in common. Constant after start.
struct LaunchContext {
  std::string program;                                 // path of workerd
  std::shared_ptr<const base::UniqueFd> program_file;  // see hold_workerd()
  std::vector<std::string> environment;                // arbiterd's own, "NAME=VALUE"
  rlimit descriptor_limit{};                           // RLIMIT_NOFILE as arbiterd found it
  std::string adoption_socket;                         // where workers look for another arbiterd
};

// Finds workerd: `configured` if given, else beside arbiterd's own program, else in the libexec
// directory.
base::Result<std::string> find_workerd(const std::string& configured);

// Holds the program there: what takes its place on the disk speaks to its own arbiterd only, and is
// run by the one that an upgrade brings. Null for a script, which is run by its path.
base::Result<std::shared_ptr<const base::UniqueFd>> hold_workerd(const std::string& program);

// A workerd process that has been started and the arbiter's end of its channel. Its Configure
// message waits in the channel.
struct LaunchedWorkerd {
  os::Child child;
  base::Channel channel;
};

// Starts workerd with `config` as its job. `descriptors` are those beside the channel. The error
// names the step that failed.
base::Result<LaunchedWorkerd> launch_workerd(os::ProcessLauncher& launcher,
                                             const LaunchContext& context,
                                             const config::PoolSettings& pool,
                                             const base::WorkerConfig& config,
                                             std::vector<os::DescriptorMapping> descriptors);

// The same by a fork from a process that is there already: what it has to be told, and both ends of
// the child's channel. `environment`: added to what the process has.
struct PreparedFork {
  base::Fork message;
  base::Channel channel;
  base::Channel child_end;  // the child's descriptor kChannelFd
};
base::Result<PreparedFork> prepare_fork(const LaunchContext& context,
                                        const config::PoolSettings& pool,
                                        const base::WorkerConfig& config,
                                        std::vector<std::string> environment);

}  // namespace corn::driver
