// SPDX-License-Identifier: Apache-2.0
#include "base/log_outlets.h"

#include <utility>
#include <vector>

#include "base/log.h"
#include "base/log_sink.h"

namespace corn::base {

LogOutlets open_log_outlets(const StatsdOptions& statsd, const SyslogOptions& syslog) {
  LogOutlets outlets;
  if (!statsd.address.empty()) {
    if (auto opened = Statsd::open(statsd)) {
      outlets.statsd = std::move(*opened);
    } else {
      log_warning("{}; going on without", opened.error().message);
    }
  }
  if (syslog.enabled) {
    if (auto opened = Syslog::open(syslog)) {
      outlets.syslog = std::move(*opened);
    } else {
      log_warning("{}; going on without", opened.error().message);
    }
  }
  return outlets;
}

void tell_log_outlets(const LogOutlets& outlets) {
  std::vector<std::shared_ptr<LogSink>> sinks;
  if (outlets.statsd) sinks.push_back(std::make_shared<StatsdLogCounter>(outlets.statsd));
  if (outlets.syslog) sinks.push_back(std::make_shared<SyslogSink>(outlets.syslog));
  set_log_sinks(std::move(sinks));
}

}  // namespace corn::base
