// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/os/daemonize.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <string>

namespace corn::os {
namespace {

constexpr int kDiedDuringStart = 1;

// What the daemon sends, before it closes its end: the exit status as one byte, and the message.
// The end of the stream without a byte means that it died.
[[noreturn]] void wait_and_exit(int relay) {
  std::string report;
  std::array<char, 4096> buffer;
  for (;;) {
    const ssize_t size = ::read(relay, buffer.data(), buffer.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) break;
    report.append(buffer.data(), static_cast<std::size_t>(size));
  }
  int exit_status = kDiedDuringStart;
  std::string message =
      "arbiterd: the daemon died before it had started; its error log may say why "
      "(--error-logfile)";
  if (!report.empty()) {
    exit_status = static_cast<unsigned char>(report.front());
    message = report.substr(1);
  }
  if (!message.empty()) {
    if (message.back() != '\n') message += '\n';
    // Standard error may be gone; there is no other place to complain.
    [[maybe_unused]] const ssize_t size = ::write(STDERR_FILENO, message.data(), message.size());
  }
  // Nothing of the parent's (buffers, atexit functions) is to run twice.
  ::_exit(exit_status);
}

// Sends all of `bytes`, or gives up when the first process has gone.
void send_all(int relay, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t size = ::send(relay, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return;
    bytes.remove_prefix(static_cast<std::size_t>(size));
  }
}

}  // namespace

base::Result<DaemonStart> DaemonStart::daemonize() {
  const base::UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null) return base::fail_errno("cannot become a daemon: open /dev/null", errno);
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return base::fail_errno("cannot become a daemon: socketpair", errno);
  }
  base::UniqueFd first_end(ends[0]);
  base::UniqueFd daemon_end(ends[1]);

  const pid_t middle = ::fork();
  if (middle < 0) return base::fail_errno("cannot become a daemon: fork", errno);
  if (middle > 0) {
    daemon_end.reset();
    int status = 0;
    while (::waitpid(middle, &status, 0) < 0 && errno == EINTR) {
    }
    wait_and_exit(first_end.get());
  }

  // The session's leader must end before the daemon opens anything: only a leader can acquire a
  // controlling terminal by opening one.
  first_end.reset();
  ::setsid();
  DaemonStart start(std::move(daemon_end));
  const pid_t daemon = ::fork();
  if (daemon < 0) {
    start.failed(kDiedDuringStart, "arbiterd: cannot become a daemon: fork failed");
    ::_exit(kDiedDuringStart);
  }
  if (daemon > 0) ::_exit(0);

  ::umask(022);
  for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::dup2(null.get(), standard) < 0) {
      start.failed(kDiedDuringStart, "arbiterd: cannot become a daemon: dup2 failed");
      ::_exit(kDiedDuringStart);
    }
  }
  return start;
}

void DaemonStart::started() {
  if (!relay_) return;
  send_all(relay_.get(), std::string_view("\0", 1));
  relay_.reset();
}

void DaemonStart::failed(int exit_status, std::string_view message) {
  if (!relay_) return;
  const auto status = static_cast<char>(static_cast<unsigned char>(exit_status));
  send_all(relay_.get(), std::string(1, status).append(message));
  relay_.reset();
}

}  // namespace corn::os
