// SPDX-License-Identifier: Apache-2.0
#include "workerd/server/access_log.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstring>
#include <ctime>
#include <utility>

#include "base/log.h"

namespace corn::server {
namespace {

constexpr std::size_t kFlushBytes = 32 * 1024;

base::Result<base::UniqueFd> open_file(const std::string& path) {
  base::UniqueFd file(::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644));
  if (!file) return base::fail_errno("cannot open the access log " + path, errno);
  return file;
}

bool is_pipe(int descriptor) {
  struct stat status {};
  return ::fstat(descriptor, &status) == 0 && S_ISFIFO(status.st_mode);
}

}  // namespace

base::Status AccessLog::open(const std::string& path, const std::string& format,
                             AccessFormat::Escape escape, base::LogOutlets outlets,
                             base::UniqueFd file) {
  outlets_ = std::move(outlets);
  has_file_ = !path.empty();
  has_lines_ = has_file_ || outlets_.syslog;
  enabled_ = has_lines_ || outlets_.statsd;
  if (!has_lines_) return {};
  const bool usual = format.empty() || format == kDefaultAccessFormat;
  const std::string_view form =
      escape == AccessFormat::Escape::kJson ? kJsonAccessFormat : kDefaultAccessFormat;
  auto compiled = AccessFormat::compile(usual ? form : std::string_view(format), escape);
  if (!compiled) return tl::unexpected<base::Error>(compiled.error());
  format_ = std::move(*compiled);
  if (!has_file_) return {};
  if (path != "-" && file) {
    file_ = std::move(file);
  } else if (path != "-") {
    auto opened = open_file(path);
    if (!opened) return tl::unexpected<base::Error>(opened.error());
    file_ = std::move(*opened);
  }
  pipe_ = is_pipe(file_ ? file_.get() : STDOUT_FILENO);
  path_ = path;
  lines_.reserve(2 * kFlushBytes);
  return {};
}

AccessTime AccessLog::time_texts() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  if (now.tv_sec != second_) {
    second_ = now.tv_sec;
    tm local{};
    ::localtime_r(&now.tv_sec, &local);
    const auto print = [&local](std::array<char, 40>& to, const char* format) {
      return ::strftime(to.data(), to.size(), format, &local);
    };
    common_time_size_ = print(common_time_, "[%d/%b/%Y:%H:%M:%S %z]");
    iso_time_size_ = print(iso_time_, "%Y-%m-%dT%H:%M:%S%z");
  }
  return {{common_time_.data(), common_time_size_}, {iso_time_.data(), iso_time_size_}};
}

void AccessLog::add(const AccessRecord& record) {
  if (!enabled_) return;
  if (outlets_.statsd) outlets_.statsd->count_request(record.status, record.duration);
  if (!has_lines_) return;
  thread_local std::string line;  // for syslog, which is told outside of the lock
  {
    const std::lock_guard lock(mutex_);
    const std::size_t begin = lines_.size();
    if (has_file_ && begin == 0) {
      const auto due = std::chrono::steady_clock::now() + kFlushDelay;
      due_.store(base::to_nanoseconds(due), std::memory_order_relaxed);
    }
    format_.append(record, time_texts(), lines_);
    if (outlets_.syslog) line.assign(lines_, begin, lines_.size() - begin - 1);
    if (!has_file_) {
      lines_.clear();
    } else if (lines_.size() >= kFlushBytes) {
      flush_locked();
    }
  }
  if (outlets_.syslog) outlets_.syslog->access_line(line);
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

void AccessLog::flush_unless_busy() {
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (lock.owns_lock()) flush_locked();
}

void AccessLog::flush_locked() {
  if (torn_ && !lines_.empty()) lines_.insert(lines_.begin(), '\n');
  const int descriptor = file_ ? file_.get() : STDOUT_FILENO;
  const bool written =
      pipe_ ? write_line_by_line(descriptor, lines_) : write_all(descriptor, lines_);
  if (!written && !failing_) {
    base::log_error("cannot write to the access log {}: {}; lines are lost until that is mended",
                    path_, std::strerror(errno));
  }
  failing_ = !written;
  lines_.clear();
  due_.store(0, std::memory_order_relaxed);
}

// As many whole lines at once as a pipe keeps together.
bool AccessLog::write_line_by_line(int descriptor, std::string_view lines) {
  while (!lines.empty()) {
    std::size_t size = lines.substr(0, PIPE_BUF).rfind('\n');
    if (size == std::string_view::npos) size = lines.find('\n');
    size = size == std::string_view::npos ? lines.size() : size + 1;
    if (!write_all(descriptor, lines.substr(0, size))) return false;
    lines.remove_prefix(size);
  }
  return true;
}

bool AccessLog::write_all(int descriptor, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t size = ::write(descriptor, bytes.data(), bytes.size());
    if (size >= 0) {
      if (size > 0) torn_ = bytes[static_cast<std::size_t>(size) - 1] != '\n';
      bytes.remove_prefix(static_cast<std::size_t>(size));
      continue;
    }
    if (errno == EINTR) continue;
    // Somebody has made the pipe or terminal non-blocking; it may be full for a moment.
    constexpr int kPatience = 1000;  // milliseconds
    pollfd writable{descriptor, POLLOUT, 0};
    const bool full = errno == EAGAIN;
    if (!full || failing_ || ::poll(&writable, 1, kPatience) == 0) {
      if (full) errno = EAGAIN;
      return false;
    }
  }
  return true;
}

base::Status AccessLog::reopen(int file) {
  const std::lock_guard lock(mutex_);
  flush_locked();
  if (!file_) return {};
  if (file >= 0) {
    base::UniqueFd copy(::fcntl(file, F_DUPFD_CLOEXEC, 0));
    if (!copy) return base::fail_errno("cannot reopen the access log " + path_, errno);
    file_ = std::move(copy);
  } else {
    auto opened = open_file(path_);
    if (!opened) return tl::unexpected<base::Error>(opened.error());
    file_ = std::move(*opened);
  }
  pipe_ = is_pipe(file_.get());
  return {};
}

}  // namespace corn::server
