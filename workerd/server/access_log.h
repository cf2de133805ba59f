// SPDX-License-Identifier: Apache-2.0
// The access log's writer. Lines are gathered and leave in one write(2): when there are many, at
// most kFlushDelay after the first, when the file is reopened, and at the end. A process that is
// killed outright loses what it has gathered since. Several processes may share the file or pipe:
// no write(2) ends within a line, and one to a pipe has PIPE_BUF bytes at most, which pipe(7)
// keeps together; only a line longer than that may be torn by another. Any thread.
//
// Beside the file a request can be told to syslog, as the same line, and to a StatsD server.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/log_outlets.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "workerd/server/access_format.h"

namespace corn::server {

class AccessLog {
 public:
  static constexpr base::Duration kFlushDelay = std::chrono::milliseconds(50);

  AccessLog() = default;
  ~AccessLog() { flush(); }
  AccessLog(const AccessLog&) = delete;
  AccessLog& operator=(const AccessLog&) = delete;

  // `path`: "" is no log, "-" standard output, else a file to append to. An empty `format` is
  // gunicorn's default, which is a JSON object in JSON. `outlets`: who else is told. `file`: the
  // file is open already.
  base::Status open(const std::string& path, const std::string& format,
                    AccessFormat::Escape escape = AccessFormat::Escape::kText,
                    base::LogOutlets outlets = {}, base::UniqueFd file = {});
  // Whether anybody wants to know of requests.
  [[nodiscard]] bool enabled() const { return enabled_; }

  // See AccessFormat; none when there is no log.
  [[nodiscard]] std::span<const std::string> variables() const { return format_.variables(); }

  void add(const AccessRecord& record);

  // When the lines held now are due, if there are any. Cheap.
  [[nodiscard]] std::optional<base::TimePoint> due() const;
  void flush();
  // The same for last words: not while another thread is writing, which may wait for a reader.
  void flush_unless_busy();

  // Opens the file anew under its name (after rotation), or goes on with a copy of `file`, which is
  // that; keeps the old one if that fails. What is held goes to the old one.
  base::Status reopen(int file = -1);

 private:
  void flush_locked();
  bool write_line_by_line(int descriptor, std::string_view lines);
  bool write_all(int descriptor, std::string_view bytes);
  AccessTime time_texts();

  // Constant after open().
  bool enabled_ = false;
  bool has_lines_ = false;  // the file or syslog
  bool has_file_ = false;   // standard output included
  base::LogOutlets outlets_;
  std::string path_;
  AccessFormat format_;

  std::mutex mutex_;
  // Guarded by mutex_.
  base::UniqueFd file_;  // empty: standard output
  bool pipe_ = false;    // what is written to is a pipe
  std::string lines_;
  bool failing_ = false;  // the last write failed, which was logged
  bool torn_ = false;     // and has left half a line behind, which the next one must not join
  std::int64_t second_ = -1;
  std::array<char, 40> common_time_{};
  std::size_t common_time_size_ = 0;
  std::array<char, 40> iso_time_{};
  std::size_t iso_time_size_ = 0;

  std::atomic<std::uint64_t> due_{0};  // monotonic nanoseconds; 0: no lines held
};

}  // namespace corn::server
