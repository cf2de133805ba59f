// SPDX-License-Identifier: Apache-2.0
// --daemon: the arbiter leaves the terminal, and the process that the user started stays until it
// is known whether the start worked; its exit status tells.
#pragma once

#include <string_view>
#include <utility>

#include "base/result.h"
#include "base/unique_fd.h"

namespace corn::os {

class DaemonStart {
 public:
  // Forks twice and returns in the daemon alone: a session of its own without a terminal, standard
  // input, output and error on /dev/null, umask 022, the same working directory. The first process
  // doesn't return: it waits for started(), failed() or the daemon's death, writes the message of a
  // failure to its standard error, and exits. Must be called before any thread exists. Fails, in
  // the first process, when it can't fork.
  static base::Result<DaemonStart> daemonize();

  DaemonStart(DaemonStart&&) noexcept = default;
  DaemonStart& operator=(DaemonStart&&) noexcept = default;

  // The first process exits 0. Call it once the arbiter serves; further calls do nothing.
  void started();

  // The first process prints `message` and exits with `exit_status`. The daemon is to end itself.
  void failed(int exit_status, std::string_view message);

 private:
  explicit DaemonStart(base::UniqueFd relay) : relay_(std::move(relay)) {}

  base::UniqueFd relay_;
};

}  // namespace corn::os
