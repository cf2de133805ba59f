// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/os/signals.h"

#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <iterator>
#include <utility>

namespace corn::os {
namespace {

constexpr std::array kEndingSignals{SIGTERM, SIGQUIT, SIGINT};
constexpr std::array kOtherCommands{SIGHUP, SIGUSR2, SIGUSR1, SIGTTIN, SIGTTOU, SIGWINCH};

sigset_t ending_signals() {
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int signal : kEndingSignals) ::sigaddset(&signals, signal);
  return signals;
}

sigset_t arbiter_signals() {
  sigset_t signals = ending_signals();
  for (const int signal : kOtherCommands) ::sigaddset(&signals, signal);
  ::sigaddset(&signals, SIGCHLD);
  return signals;
}

// Only where it is ignored: setting the default action, even anew, discards a pending SIGWINCH or
// SIGCHLD, blocked or not (sigaction(2p)), and one that came during an upgrade in place must stay.
void stop_ignoring(int signal) {
  struct sigaction action {};
  if (::sigaction(signal, nullptr, &action) != 0 || action.sa_handler == SIG_DFL) return;
  action = {};
  action.sa_handler = SIG_DFL;
  ::sigaction(signal, &action, nullptr);
}

}  // namespace

SignalLevels order_signals(const std::vector<int>& pending) {
  const auto is_pending = [&](int signal) {
    return std::find(pending.begin(), pending.end(), signal) != pending.end();
  };
  SignalLevels levels;
  levels.child_ended = is_pending(SIGCHLD);
  std::copy_if(kEndingSignals.begin(), kEndingSignals.end(), std::back_inserter(levels.commands),
               is_pending);
  if (levels.commands.empty()) {
    std::copy_if(kOtherCommands.begin(), kOtherCommands.end(), std::back_inserter(levels.commands),
                 is_pending);
  }
  return levels;
}

base::Status block_arbiter_signals() {
  // Blocked means kept for the signalfd, but an ignored signal is discarded even so: nohup(1) and
  // shells' background jobs pass ignored ones on.
  for (const int signal : kEndingSignals) stop_ignoring(signal);
  for (const int signal : kOtherCommands) stop_ignoring(signal);
  stop_ignoring(SIGCHLD);

  struct sigaction ignored {};
  ignored.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &ignored, nullptr);

  const sigset_t signals = arbiter_signals();
  if (const int error = ::pthread_sigmask(SIG_BLOCK, &signals, nullptr); error != 0) {
    return base::fail_errno("block signals", error);
  }
  return {};
}

std::string signal_name(int signal) {
  const char* const name = ::sigabbrev_np(signal);
  return name != nullptr ? name : "signal " + std::to_string(signal);
}

base::Result<std::unique_ptr<SignalSource>> SignalSource::create(EventLoop& loop, Callback callback,
                                                                 Which which) {
  if (const base::Status blocked = block_arbiter_signals(); !blocked) {
    return tl::unexpected(blocked.error());
  }
  const sigset_t signals = which == Which::kAll ? arbiter_signals() : ending_signals();
  base::UniqueFd descriptor(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!descriptor) return base::fail_errno("create a signalfd", errno);
  const int fd = descriptor.get();
  std::unique_ptr<SignalSource> source(
      new SignalSource(loop, std::move(descriptor), std::move(callback)));
  const base::Status watched =
      loop.watch(fd, EPOLLIN, [raw = source.get()](std::uint32_t) { raw->drain(); });
  if (!watched) return tl::unexpected(watched.error());
  return source;
}

SignalSource::SignalSource(EventLoop& loop, base::UniqueFd descriptor, Callback callback)
    : loop_(loop), descriptor_(std::move(descriptor)), callback_(std::move(callback)) {}

SignalSource::~SignalSource() { loop_.unwatch(descriptor_.get()); }

void SignalSource::drain() {
  std::vector<int> pending;
  std::array<signalfd_siginfo, 16> infos;
  for (;;) {
    const ssize_t size = ::read(descriptor_.get(), infos.data(), sizeof(infos));
    if (size <= 0) break;
    const std::size_t count = static_cast<std::size_t>(size) / sizeof(signalfd_siginfo);
    for (std::size_t i = 0; i < count; ++i) {
      pending.push_back(static_cast<int>(infos[i].ssi_signo));
    }
  }
  if (!pending.empty()) callback_(order_signals(pending));
}

}  // namespace corn::os
