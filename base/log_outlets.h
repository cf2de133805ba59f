// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "base/outlet_options.h"
#include "base/statsd.h"
#include "base/syslog.h"

namespace corn::base {

// Where a process sends its log and metrics beside the files. Either may be null: not wanted, or
// not to be had.
struct LogOutlets {
  std::shared_ptr<Statsd> statsd;
  std::shared_ptr<Syslog> syslog;
};

// Opens what is wanted; what can't be had is said in the log and left out, because nobody's
// requests should wait for a metrics server. May wait for the name service.
LogOutlets open_log_outlets(const StatsdOptions& statsd, const SyslogOptions& syslog);

// Tells `outlets` of every entry of this process's log, and nobody else.
void tell_log_outlets(const LogOutlets& outlets);

}  // namespace corn::base
