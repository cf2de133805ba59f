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
// one; null: there is none.
base::Result<LaunchContext> prepare_process(const config::Invocation& invocation,
                                            const Estate* estate);

// For a program that has taken over an instance and can't read its settings now, or doesn't find
// its other programs (`error` says why): calls `prepare` every other second, and at HUP, until it
// does well, while the workers serve. Nobody can ask anything of the arbiter meanwhile. TERM, INT
// and QUIT end the wait, and the workers: that is a failure.
base::Status await_readiness(const Estate& estate, const std::function<base::Status()>& prepare,
                             base::Error error);

// Whether a start that takes over from an arbiter in `state` would have what its settings want.
// What is opened for that is closed again; log files that didn't exist stay.
base::Status rehearse_start(config::Settings settings, InstanceState state);

// A started instance: its files and sockets exist as long as this object.
class Instance {
 public:
  // Leaves the terminal if asked to, locks the instance, opens logs and listeners, writes the pid
  // file. What was made is undone when a later step fails. `program`: argv[0]. Without an estate
  // from the program before, workers that an arbiter left behind at its death are looked for. Where
  // there are workers, nothing that a reload can refuse as well fails the start: they would be left
  // alone. It is logged, and the arbiter reloads.
  // `script`: outlives it; null: there is none.
  static tl::expected<std::unique_ptr<Instance>, StartFailure> start(
      const config::Invocation& invocation, const std::string& program, config::Settings settings,
      LaunchContext launch, std::optional<Estate> estate, ScriptProcess* script);

  [[nodiscard]] Arbiter& arbiter() { return *arbiter_; }
  [[nodiscard]] const std::string& name() const { return name_; }
  // It has workers of an arbiter before it.
  [[nodiscard]] bool succeeds() const { return succeeds_; }
  // Where the control socket is to be, and where it is if the settings don't say.
  [[nodiscard]] const std::string& control_path() const { return control_path_; }
  [[nodiscard]] const std::string& usual_control_path() const { return usual_control_path_; }

  // Tells whoever waits for a daemon's start that it failed.
  void start_failed(const StartFailure& failure);

 private:
  Instance() = default;
  // Goes on with the error log that the program before this one had open.
  void keep_log(base::LogOptions options, base::UniqueFd old);

  std::string name_;
  std::string control_path_;
  std::string usual_control_path_;
  bool succeeds_ = false;
  base::UniqueFd old_log_;  // in use because the error log can't be opened
  std::optional<os::InstanceLock> lock_;
  std::optional<os::PidFile> pid_file_;
  std::unique_ptr<Arbiter> arbiter_;
};

}  // namespace corn::driver
