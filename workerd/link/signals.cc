// SPDX-License-Identifier: Apache-2.0
#include "workerd/link/signals.h"

#include <pthread.h>
#include <sys/types.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>

namespace corn::link {
namespace {

constexpr std::array kObeyed = {SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGABRT};

std::atomic<std::uint32_t> pending{0};
std::atomic<int> wake_descriptor{-1};
std::atomic<pid_t> owner{0};
static_assert(std::atomic<std::uint32_t>::is_always_lock_free);

std::uint32_t bit(int signal_number) { return 1U << static_cast<unsigned>(signal_number); }

// Not a signal's.
constexpr std::uint32_t kByParent = 1;

// What was there for SIGABRT before it was reclaimed: faulthandler, which shows the stack of a
// thread that calls abort(3). Set before the flag is, taken once.
struct sigaction crash_action {};
std::atomic<bool> has_crash_action{false};

// All signals are blocked in here; what is raised is delivered on return.
void handle(int signal_number, siginfo_t* info, void* /*context*/) {
  const int saved_errno = errno;
  if (::getpid() != owner.load(std::memory_order_relaxed)) {
    // A child of the application that was made without fork handlers. The eventfd is its parent's
    // too: it must not be written.
    std::signal(signal_number, SIG_DFL);
    ::raise(signal_number);
  } else if (signal_number == SIGABRT && info->si_code == SI_TKILL) {
    // abort(3) in this process: a crash, not an order.
    if (has_crash_action.exchange(false)) {
      ::sigaction(SIGABRT, &crash_action, nullptr);
    } else {
      std::signal(SIGABRT, SIG_DFL);
    }
    ::raise(SIGABRT);
  } else {
    const bool by_parent = signal_number == SIGTERM && info->si_pid == ::getppid();
    pending.fetch_or(bit(signal_number) | (by_parent ? kByParent : 0U));
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = ::write(wake_descriptor.load(), &one, sizeof one);
  }
  errno = saved_errno;
}

bool handled_here(int signal_number) {
  struct sigaction current {};
  return ::sigaction(signal_number, nullptr, &current) == 0 &&
         (current.sa_flags & SA_SIGINFO) != 0 && current.sa_sigaction == &handle;
}

bool install(int signal_number) {
  struct sigaction action {};
  action.sa_sigaction = &handle;
  action.sa_flags = SA_RESTART | SA_ONSTACK | SA_SIGINFO;
  sigfillset(&action.sa_mask);
  return ::sigaction(signal_number, &action, nullptr) == 0;
}

void reset_in_child() {
  for (const int signal_number : kObeyed) {
    if (handled_here(signal_number)) std::signal(signal_number, SIG_DFL);
  }
  pending = 0;
}

}  // namespace

base::Status install_signal_handlers(int wake_fd) {
  wake_descriptor = wake_fd;
  owner = ::getpid();
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  for (const int signal_number : kObeyed) {
    if (!install(signal_number)) return base::fail_errno("cannot install a signal handler", errno);
  }
  static const int registered = ::pthread_atfork(nullptr, nullptr, &reset_in_child);
  if (registered != 0) return base::fail_errno("cannot register a fork handler", registered);
  return {};
}

int reclaim_signal_handlers() {
  int replaced = 0;
  for (const int signal_number : kObeyed) {
    if (handled_here(signal_number)) continue;
    if (signal_number == SIGABRT) {
      ::sigaction(SIGABRT, nullptr, &crash_action);
      has_crash_action = true;
    } else {
      ++replaced;
    }
    install(signal_number);
  }
  return replaced;
}

SignalSet take_signals() {
  const std::uint32_t taken = pending.exchange(0);
  return SignalSet{
      .terminate = (taken & bit(SIGTERM)) != 0,
      .by_parent = (taken & kByParent) != 0,
      .quit = (taken & (bit(SIGINT) | bit(SIGQUIT))) != 0,
      .reopen_logs = (taken & bit(SIGUSR1)) != 0,
      .abort = (taken & bit(SIGABRT)) != 0,
  };
}

void die_of_abort() {
  std::signal(SIGABRT, SIG_DFL);
  std::abort();
}

}  // namespace corn::link
