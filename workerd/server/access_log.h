// SPDX-License-Identifier: Apache-2.0
// The access log's writer. Lines are gathered and leave in one write(2): when there are many, at
// most kFlushDelay after the first, when the file is reopened, and at the end. Any thread.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
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
  // gunicorn's default.
  base::Status open(const std::string& path, const std::string& format);
  [[nodiscard]] bool enabled() const { return enabled_; }

  void add(const AccessRecord& record);

  // When the lines held now are due, if there are any. Cheap.
  [[nodiscard]] std::optional<base::TimePoint> due() const;
  void flush();

  // Opens the file anew under its name (after rotation); keeps the old one if that fails.
  base::Status reopen();

 private:
  void flush_locked();
  std::string_view time_text();

  // Constant after open().
  bool enabled_ = false;
  std::string path_;
  AccessFormat format_;

  std::mutex mutex_;
  // Guarded by mutex_.
  base::UniqueFd file_;  // empty: standard output
  std::string lines_;
  bool failing_ = false;  // the last write failed, which was logged
  std::int64_t second_ = -1;
  std::array<char, 40> time_{};
  std::size_t time_size_ = 0;

  std::atomic<std::uint64_t> due_{0};  // monotonic nanoseconds; 0: no lines held
};

}  // namespace corn::server
