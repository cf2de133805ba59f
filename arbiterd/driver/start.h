// SPDX-License-Identifier: Apache-2.0
// From an invocation to a prepared arbiter: everything that can fail before the first worker
// starts.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "arbiterd/config/sources.h"
#include "arbiterd/driver/arbiter.h"
#include "arbiterd/driver/launch_plan.h"
#include "arbiterd/os/instance_lock.h"
#include "arbiterd/os/pid_file.h"

namespace corn::driver {

// Why arbiterd can't start, with the exit status of the contract: 1 for what is in the way, 2 for
// settings.
struct StartFailure {
  int status = 1;
  std::string text;
};

// Sets the process right (descriptors, limits, signals) and gathers what children have in common.
// Call it first in main(), before any thread. `estate`: taken over from the program before this
// one.
base::Result<LaunchContext> prepare_process(const config::Invocation& invocation,
                                            const std::optional<Estate>& estate);

// A started instance: its files and sockets exist as long as this object.
class Instance {
 public:
  // Leaves the terminal if asked to, locks the instance, opens logs and listeners, writes the pid
  // file. What was made is undone when a later step fails. `program`: argv[0]. Without an estate
  // from the program before, workers that an arbiter left behind at its death are looked for.
  // `script`: outlives it; null: there is none.
  static tl::expected<std::unique_ptr<Instance>, StartFailure> start(
      const config::Invocation& invocation, const std::string& program, config::Settings settings,
      LaunchContext launch, std::optional<Estate> estate, ScriptProcess* script);

  [[nodiscard]] Arbiter& arbiter() { return *arbiter_; }
  [[nodiscard]] const std::string& name() const { return name_; }
  // Where the control socket is to be.
  [[nodiscard]] const std::string& control_path() const { return control_path_; }

  // Tells whoever waits for a daemon's start that it failed.
  void start_failed(const StartFailure& failure);

 private:
  Instance() = default;

  std::string name_;
  std::string control_path_;
  std::optional<os::InstanceLock> lock_;
  std::optional<os::PidFile> pid_file_;
  std::unique_ptr<Arbiter> arbiter_;
};

}  // namespace corn::driver
