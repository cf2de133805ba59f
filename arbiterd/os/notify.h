// SPDX-License-Identifier: Apache-2.0
// Messages to the service manager over $NOTIFY_SOCKET (sd_notify(3)). Without that variable every
// call does nothing. Nothing blocks: a message that the manager has no room for is lost, as with
// systemd's own library.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace corn::os {

class Notifier {
 public:
  // Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID and unsets them, so that children don't
  // speak in the arbiter's name. Call it in main() before threads exist. Fails for an address that
  // is neither a path nor abstract ("@...").
  static base::Result<Notifier> from_environment();

  // True when a manager listens.
  [[nodiscard]] bool enabled() const { return !address_.empty(); }

  // Half of WATCHDOG_USEC: call watchdog() that often. nullopt: no watchdog asked of this process.
  [[nodiscard]] std::optional<base::Duration> watchdog_interval() const { return watchdog_; }

  // The variables read, as "NAME=VALUE": an upgrade in place hands them to its successor.
  [[nodiscard]] const std::vector<std::string>& environment() const { return environment_; }

  base::Status ready(std::string_view status);  // workers serve
  base::Status reloading();                     // to be followed by ready()
  base::Status stopping();
  base::Status status(std::string_view text);  // one line for `systemctl status`
  base::Status main_pid(pid_t pid);
  base::Status watchdog();

 private:
  Notifier() = default;
  base::Status send(const std::string& message);

  std::string address_;  // a path, or '@' and an abstract name
  base::UniqueFd socket_;
  std::optional<base::Duration> watchdog_;
  std::vector<std::string> environment_;
};

}  // namespace corn::os
