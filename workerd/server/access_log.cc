// SPDX-License-Identifier: Apache-2.0
#include "workerd/server/access_log.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/log.h"

namespace corn::server {
namespace {

constexpr std::size_t kFlushBytes = 32 * 1024;

base::Result<base::UniqueFd> open_file(const std::string& path) {
  base::UniqueFd file(::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644));
  if (!file) return base::fail_errno("cannot open the access log " + path, errno);
  return file;
}

}  // namespace

base::Status AccessLog::open(const std::string& path, const std::string& format) {
  if (path.empty()) return {};
  auto compiled = AccessFormat::compile(format.empty() ? kDefaultAccessFormat : format);
  if (!compiled) return tl::unexpected<base::Error>(compiled.error());
  if (path != "-") {
    auto file = open_file(path);
    if (!file) return tl::unexpected<base::Error>(file.error());
    file_ = std::move(*file);
  }
  format_ = std::move(*compiled);
  path_ = path;
  lines_.reserve(2 * kFlushBytes);
  enabled_ = true;
  return {};
}

std::string_view AccessLog::time_text() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  if (now.tv_sec != second_) {
    second_ = now.tv_sec;
    tm local{};
    ::localtime_r(&now.tv_sec, &local);
    time_size_ = ::strftime(time_.data(), time_.size(), "[%d/%b/%Y:%H:%M:%S %z]", &local);
  }
  return {time_.data(), time_size_};
}

void AccessLog::add(const AccessRecord& record) {
  if (!enabled_) return;
  const std::lock_guard lock(mutex_);
  if (lines_.empty()) {
    const auto due = std::chrono::steady_clock::now() + kFlushDelay;
    due_.store(base::to_nanoseconds(due), std::memory_order_relaxed);
  }
  format_.append(record, time_text(), lines_);
  if (lines_.size() >= kFlushBytes) flush_locked();
}

std::optional<base::TimePoint> AccessLog::due() const {
  const std::uint64_t due = due_.load(std::memory_order_relaxed);
  if (due == 0) return std::nullopt;
  return base::from_nanoseconds(due);
}

void AccessLog::flush() {
  const std::lock_guard lock(mutex_);
  flush_locked();
}

void AccessLog::flush_locked() {
  std::string_view rest = lines_;
  const int descriptor = file_ ? file_.get() : STDOUT_FILENO;
  while (!rest.empty()) {
    const ssize_t size = ::write(descriptor, rest.data(), rest.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) {
      if (!failing_) {
        base::log_error(
            "cannot write to the access log {}: {}; lines are lost until that is mended", path_,
            std::strerror(errno));
      }
      failing_ = true;
      break;
    }
    failing_ = false;
    rest.remove_prefix(static_cast<std::size_t>(size));
  }
  lines_.clear();
  due_.store(0, std::memory_order_relaxed);
}

base::Status AccessLog::reopen() {
  const std::lock_guard lock(mutex_);
  flush_locked();
  if (!file_) return {};
  auto file = open_file(path_);
  if (!file) return tl::unexpected<base::Error>(file.error());
  file_ = std::move(*file);
  return {};
}

}  // namespace corn::server
