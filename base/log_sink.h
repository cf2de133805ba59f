// SPDX-License-Identifier: Apache-2.0
// Whoever else wants the entries of this process's error log: syslog, metrics, Python's logging.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "base/log.h"

namespace corn::base {

class LogSink {
 public:
  virtual ~LogSink() = default;

  // An entry of the log. `shown`: it passes the log's level; what doesn't is told only from
  // kWarning on. Returns whether the sink has taken it over, so that the file can do without it.
  // On any thread that logs: must not wait. What it logs itself is not told to sinks.
  virtual bool take(LogLevel level, std::string_view text, bool shown) = 0;
};

// Replaces the sinks of this process; each is told of every entry from then on. Any thread.
void set_log_sinks(std::vector<std::shared_ptr<LogSink>> sinks);

// The sinks set last.
std::vector<std::shared_ptr<LogSink>> log_sinks();

// Writes an entry to the log's file alone, whatever its level: for a sink that gives back what it
// had taken over.
void write_log_line(LogLevel level, std::string_view text);

}  // namespace corn::base
