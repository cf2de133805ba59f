// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/os/child_watch.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include "base/check.h"

namespace corn::os {
namespace {

// P_PIDFD of <sys/wait.h>, as waitid's first parameter.
constexpr int kByPidfd = 3;

base::Duration to_duration(const timeval& time) {
  return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec);
}

// waitid(2) as the kernel has it, with the fifth parameter that glibc's wrapper leaves out. Returns
// nullopt when nothing has ended yet; errno is in `error` when there is no such child.
struct Reaped {
  pid_t pid = -1;
  ExitStatus status;
};

std::optional<Reaped> wait_for(int id_type, int id, int options, int& error) {
  siginfo_t info{};
  rusage usage{};
  error = 0;
  long result = 0;
  do {
    result = ::syscall(SYS_waitid, id_type, id, &info, options | WEXITED | WNOHANG, &usage);
  } while (result < 0 && errno == EINTR);
  if (result < 0) {
    error = errno;
    return std::nullopt;
  }
  if (info.si_pid == 0) return std::nullopt;

  Reaped reaped{info.si_pid, {}};
  const bool exited = info.si_code == CLD_EXITED;
  reaped.status.kind = exited ? ExitStatus::Kind::kExited : ExitStatus::Kind::kSignaled;
  reaped.status.code = info.si_status;
  reaped.status.core_dumped = info.si_code == CLD_DUMPED;
  reaped.status.cpu_time = to_duration(usage.ru_utime) + to_duration(usage.ru_stime);
  reaped.status.max_rss_bytes = static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
  return reaped;
}

base::Result<std::string> read_process_file(pid_t pid, const char* name) {
  const std::string path = "/proc/" + std::to_string(pid) + "/" + name;
  const base::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return base::fail_errno("open " + path, errno);
  std::array<char, 1024> buffer;  // statm has 7 numbers, stat 52 and a name of 15 bytes
  const ssize_t size = ::read(file.get(), buffer.data(), buffer.size());
  if (size < 0) return base::fail_errno("read " + path, errno);
  return std::string(buffer.data(), static_cast<std::size_t>(size));
}

// The `index`th (from 0) of the numbers in `text`, which single spaces separate.
base::Result<std::uint64_t> number_at(std::string_view text, std::size_t index, const char* what) {
  for (; index > 0; --index) {
    const std::size_t space = text.find(' ');
    if (space == std::string_view::npos) {
      return base::fail(std::string("unexpected format of ") + what);
    }
    text.remove_prefix(space + 1);
  }
  std::uint64_t number = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), number).ec != std::errc()) {
    return base::fail(std::string("unexpected format of ") + what);
  }
  return number;
}

// Not for good: to processes whose parent has ended the new one is to be the machine's, as ever.
void inherit_orphans(bool on) {
  CORN_CHECK(::prctl(PR_SET_CHILD_SUBREAPER, on ? 1 : 0, 0, 0, 0) == 0);
}

}  // namespace

PidfdChildWatch::PidfdChildWatch(EventLoop& loop, ExitCallback on_stranger)
    : loop_(loop), on_stranger_(std::move(on_stranger)) {
  inherit_orphans(false);
}

PidfdChildWatch::~PidfdChildWatch() {
  for (const auto& [pid, watched] : watched_) loop_.unwatch(watched.pidfd.get());
}

base::Status PidfdChildWatch::watch(pid_t pid, base::UniqueFd pidfd, ExitCallback callback) {
  CORN_CHECK(loop_.on_loop_thread());
  CORN_CHECK(!watched_.contains(pid));
  base::Status status =
      loop_.watch(pidfd.get(), EPOLLIN, [this, pid](std::uint32_t) { on_readable(pid); });
  if (!status) return status;
  watched_.emplace(pid, Watched{std::move(pidfd), std::move(callback)});
  return {};
}

void PidfdChildWatch::unwatch(pid_t pid) {
  CORN_CHECK(loop_.on_loop_thread());
  const auto found = watched_.find(pid);
  if (found == watched_.end()) return;
  loop_.unwatch(found->second.pidfd.get());
  watched_.erase(found);
}

base::Status PidfdChildWatch::send_signal(pid_t pid, int signal) {
  CORN_CHECK(loop_.on_loop_thread());
  const auto found = watched_.find(pid);
  const std::string what = "send signal " + std::to_string(signal) + " to " + std::to_string(pid);
  if (found == watched_.end()) return base::fail_errno(what, ESRCH);
  if (::syscall(SYS_pidfd_send_signal, found->second.pidfd.get(), signal, nullptr, 0) != 0) {
    return base::fail_errno(what, errno);
  }
  return {};
}

int PidfdChildWatch::pidfd(pid_t pid) const {
  const auto found = watched_.find(pid);
  return found == watched_.end() ? -1 : found->second.pidfd.get();
}

void PidfdChildWatch::on_readable(pid_t pid) {
  const auto found = watched_.find(pid);
  CORN_CHECK(found != watched_.end());
  int error = 0;
  const std::optional<Reaped> reaped = wait_for(kByPidfd, found->second.pidfd.get(), 0, error);
  if (!reaped && error == 0) return;
  // ECHILD: it has ended, but it is somebody else's child.
  const ExitStatus status = reaped ? reaped->status : ExitStatus{};

  const Watched ended = std::move(found->second);
  watched_.erase(found);
  loop_.unwatch(ended.pidfd.get());
  if (strangers_hidden_) reap_strangers();
  ended.callback(pid, status);
}

void PidfdChildWatch::reap_strangers() {
  CORN_CHECK(loop_.on_loop_thread());
  strangers_left_ = expected_ > 0;
  if (strangers_left_) return;
  strangers_hidden_ = false;
  for (;;) {
    int error = 0;
    const std::optional<Reaped> dead = wait_for(P_ALL, 0, WNOWAIT, error);
    if (!dead) return;
    if (watched_.contains(dead->pid)) {
      // Its pidfd is readable by now; the rest is looked at when it has been reaped.
      strangers_hidden_ = true;
      return;
    }
    // Still a zombie and ours, so that the number can't mean another process.
    const std::optional<Reaped> stranger = wait_for(P_PID, dead->pid, 0, error);
    if (stranger && on_stranger_) on_stranger_(stranger->pid, stranger->status);
  }
}

void PidfdChildWatch::expect_child() {
  if (expected_++ == 0) inherit_orphans(true);
}

void PidfdChildWatch::end_expectation() {
  CORN_CHECK(expected_ > 0);
  if (--expected_ > 0) return;
  inherit_orphans(false);
  if (strangers_left_) reap_strangers();
}

base::Result<base::UniqueFd> open_pidfd(pid_t pid) {
  base::UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd) return base::fail_errno("open a pidfd of " + std::to_string(pid), errno);
  return pidfd;
}

base::Result<base::UniqueFd> open_child(pid_t pid) {
  if (pid <= 0) return base::fail_errno("open a pidfd of " + std::to_string(pid), ESRCH);
  base::Result<base::UniqueFd> pidfd = open_pidfd(pid);
  if (!pidfd) return pidfd;
  int error = 0;
  std::ignore = wait_for(kByPidfd, pidfd->get(), WNOWAIT, error);
  if (error != 0) return base::fail_errno(std::to_string(pid) + " is no child", error);
  return pidfd;
}

base::Result<std::uint64_t> read_pss(pid_t pid) {
  const base::Result<std::string> text = read_process_file(pid, "smaps_rollup");
  if (!text) return tl::unexpected(text.error());
  constexpr std::string_view kLabel = "\nPss:";
  const std::size_t label = text->find(kLabel);
  const std::size_t digits =
      label == std::string::npos ? label : text->find_first_not_of(' ', label + kLabel.size());
  if (digits == std::string::npos) return base::fail("unexpected format of /proc/PID/smaps_rollup");
  auto kilobytes = number_at(std::string_view(*text).substr(digits), 0, "/proc/PID/smaps_rollup");
  if (!kilobytes) return kilobytes;
  return *kilobytes * 1024;
}

base::Result<std::uint64_t> read_rss(pid_t pid) {
  const base::Result<std::string> text = read_process_file(pid, "statm");
  if (!text) return tl::unexpected(text.error());
  base::Result<std::uint64_t> pages = number_at(*text, 1, "/proc/PID/statm");
  if (!pages) return pages;
  return *pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

base::Result<std::uint64_t> read_start_time(pid_t pid) {
  const base::Result<std::string> text = read_process_file(pid, "stat");
  if (!text) return tl::unexpected(text.error());
  // Field 2, the command name in parentheses, may contain anything; field 3 follows the last ") ".
  const std::size_t name_end = text->rfind(") ");
  if (name_end == std::string::npos) return base::fail("unexpected format of /proc/PID/stat");
  return number_at(std::string_view(*text).substr(name_end + 2), 22 - 3, "/proc/PID/stat");
}

}  // namespace corn::os
