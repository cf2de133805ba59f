// SPDX-License-Identifier: Apache-2.0
// The error log of a process, in gunicorn's shape
//   [2026-01-31 05:00:33 +0000] [13126] [INFO] Booting worker with pid: 13176
// or one JSON object a line. Lines go out in one write(2) each with O_APPEND, so that several
// processes may share a file. All functions may be called from any thread, but not from a signal
// handler or between fork and exec.
#pragma once

#include <fmt/core.h>

#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace corn::base {

enum class LogLevel { kDebug, kInfo, kWarning, kError, kCritical };
enum class LogFormat { kText, kJson };

struct LogOptions {
  std::string path = "-";  // "-" is standard error; anything else is opened for appending
  LogLevel level = LogLevel::kInfo;
  LogFormat format = LogFormat::kText;
};

// Opens the log; lines written before it go to standard error with default options. Fails, changing
// nothing, when the file can't be opened. `file`: it is open already, by somebody who may.
Status open_log(const LogOptions& options, UniqueFd file = {});

// Opens the file anew under its old name (USR1 after rotation), or goes on with a copy of `file`,
// which is that. On failure the old file stays in use.
Status reopen_log(int file = -1);

// Descriptor of the open log, for a writer that can't call log functions (crash and stack dumps).
[[nodiscard]] int log_descriptor();

[[nodiscard]] bool log_enabled(LogLevel level);

// What a client has chosen (a request's method and target), for an entry or a text that goes into
// one: printable ASCII as it is, the rest as \xNN, as in the access log.
[[nodiscard]] std::string printable(std::string_view text);

// Writes one entry. A text of several lines (a traceback) is written as it is, after the first
// line's prefix, in text form; in JSON it stays one line. Control characters other than newline and
// tab and bytes that are no UTF-8 are escaped, so that no client can forge a line or reach the
// terminal of whoever reads it.
void log_line(LogLevel level, std::string_view text);

template <typename... Args>
void log(LogLevel level, fmt::format_string<Args...> format, Args&&... args) {
  if (log_enabled(level)) log_line(level, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void log_debug(fmt::format_string<Args...> format, Args&&... args) {
  log(LogLevel::kDebug, format, std::forward<Args>(args)...);
}
template <typename... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) {
  log(LogLevel::kInfo, format, std::forward<Args>(args)...);
}
template <typename... Args>
void log_warning(fmt::format_string<Args...> format, Args&&... args) {
  log(LogLevel::kWarning, format, std::forward<Args>(args)...);
}
template <typename... Args>
void log_error(fmt::format_string<Args...> format, Args&&... args) {
  log(LogLevel::kError, format, std::forward<Args>(args)...);
}
template <typename... Args>
void log_critical(fmt::format_string<Args...> format, Args&&... args) {
  log(LogLevel::kCritical, format, std::forward<Args>(args)...);
}

}  // namespace corn::base
