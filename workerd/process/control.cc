// SPDX-License-Identifier: Apache-2.0
#include "workerd/process/control.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "base/log.h"
#include "base/unique_fd.h"
#include "workerd/runtimes/python/hooks.h"
#include "workerd/runtimes/python/stacks.h"
#include "workerd/server/fork_fence.h"

namespace corn::process {
namespace {

using base::Milliseconds;

// A worker that is told to end at once has this long to leave the application and run its exit
// handlers; arbiterd kills after two seconds.
constexpr Milliseconds kQuitLimit{1000};
// Beyond the grace that requests in flight were given, for cutting them off in order.
constexpr Milliseconds kDrainMargin{500};
// For exit handlers and threads of the application where graceful_timeout sets no limit.
constexpr Milliseconds kExitLimit{30000};
// How long a stack dump waits for the interpreter's lock, and an aborting worker for its last
// answers. Together below the 250 ms that arbiterd leaves between SIGABRT and SIGKILL.
constexpr Milliseconds kDumpWait{100};
constexpr Milliseconds kAbortWait{100};
constexpr Milliseconds kAbortHookWait{40};
// For the hook worker_int, while the worker quits.
constexpr Milliseconds kHookWait{250};
// For the stacks of a worker that is to live on: a thread that keeps the interpreter's lock for so
// long, though another wants it, hangs outside of Python; and the longest wait. Below kDumpLimit of
// arbiterd/driver/dump.h.
constexpr Milliseconds kStillTime{500};
constexpr Milliseconds kLockWait{1200};

// Every thread's stack as text.
std::string stacks() {
  const base::UniqueFd file(::memfd_create("stacks", MFD_CLOEXEC));
  if (!file) return "(no stacks: " + std::string(std::strerror(errno)) + ")\n";
  python::dump_stacks_carefully(file.get(), kDumpWait);
  struct stat status {};
  if (::fstat(file.get(), &status) < 0) return {};
  std::string text(static_cast<std::size_t>(status.st_size), '\0');
  const ssize_t n = ::pread(file.get(), text.data(), text.size(), 0);
  text.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  return text;
}

base::DumpResult dump(Milliseconds patience) {
  if (patience.count() == 0) return python::collect_stacks(kStillTime, kLockWait);
  return python::collect_stacks(std::min(kStillTime, patience / 2), std::min(kLockWait, patience));
}

}  // namespace

base::Status redirect_output() {
  for (const int target : {STDOUT_FILENO, STDERR_FILENO}) {
    if (::dup2(base::log_descriptor(), target) < 0) {
      return base::fail_errno("cannot direct the application's output to the error log", errno);
    }
  }
  return {};
}

base::Status Control::start(Milliseconds orphan_timeout, link::Estate estate) {
  return link_.start(
      {.drain = [this](Milliseconds grace, bool all) { drain(grace, all, false); },
       .retire = [this](Milliseconds grace) { drain(grace, false, true); },
       .end_overdue = [this](Milliseconds limit, Milliseconds grace) { end_overdue(limit, grace); },
       .quit = [this] { quit(); },
       .reopen_logs = [this](link::OpenFiles files) { reopen_logs(std::move(files)); },
       .dump = [](Milliseconds patience) { return dump(patience); },
       .abort = [this] { abort(); },
       .overdue = [this] { overdue(); }},
      config_.graceful_timeout, orphan_timeout, std::move(estate));
}

void Control::begin_serving(server::Server& server) {
  const std::lock_guard lock(mutex_);
  server_ = &server;
  state_ = State::kServing;
  if (early_files_) server.reopen_logs(link::find_file(*early_files_, config_.access_log));
  early_files_.reset();
}

void Control::end_serving(int status) {
  const std::lock_guard lock(mutex_);
  server_ = nullptr;
  state_ = State::kEnding;
  const bool limited = config_.graceful_timeout.count() > 0;
  link_.exit_by(limited ? config_.graceful_timeout : kExitLimit, status);
}

void Control::drain(Milliseconds grace, bool empty_backlog, bool may_be_last) {
  const std::lock_guard lock(mutex_);
  leave_if_booting();
  if (state_ != State::kServing) return;
  server_->drain(grace, empty_backlog, may_be_last);
  if (grace.count() > 0) link_.exit_by(grace + kDrainMargin, 0);
}

void Control::end_overdue(Milliseconds limit, Milliseconds grace) {
  base::log_critical(
      "Requests over request_timeout in worker (pid: {}); its requests and stacks:\n{}{}",
      ::getpid(), requests(), stacks());
  const std::lock_guard lock(mutex_);
  if (state_ != State::kServing) return;
  server_->end_overdue(limit, grace, [this] {
    only_overdue_left_.store(true, std::memory_order_relaxed);
    link_.exit_by(base::Duration(0), 0);
  });
  link_.exit_by(grace + kDrainMargin, 0);
}

void Control::quit() {
  bool serving = false;
  {
    const std::lock_guard lock(mutex_);
    leave_if_booting();
    link_.exit_by(kQuitLimit, 0);
    serving = state_ == State::kServing;
  }
  // While there is an interpreter for sure: the worker is told afterwards, and may then be quick.
  if (serving) call_hooks({"worker_int"}, kHookWait);
  const std::lock_guard lock(mutex_);
  if (state_ == State::kServing) server_->quit();
}

void Control::leave_if_booting() const {
  if (state_ == State::kBooting) ::_exit(0);
}

void Control::reopen_logs(link::OpenFiles files) {
  if (auto status = base::reopen_log(link::find_file(files, config_.error_log)); !status) {
    base::log_error("{}; the old file stays in use", status.error().message);
  }
  if (config_.capture_output && config_.error_log != "-") {
    if (auto status = redirect_output(); !status) base::log_error("{}", status.error().message);
  }
  const std::lock_guard lock(mutex_);
  if (server_ != nullptr) {
    server_->reopen_logs(link::find_file(files, config_.access_log));
  } else if (state_ == State::kBooting) {
    early_files_ = std::move(files);
  }
}

void Control::call_hooks(const std::vector<std::string>& names, base::Duration limit) {
  python::Hooks* hooks = python::Hooks::current();
  if (hooks == nullptr) return;
  if (const std::string text = hooks->end_worker(names, limit); !text.empty()) {
    base::log_error("{}", text);
  }
}

void Control::abort() {
  const auto began = std::chrono::steady_clock::now();
  base::log_critical("Worker aborted by SIGABRT (pid: {}); its requests and stacks:\n{}{}",
                     ::getpid(), requests(), stacks());
  // What the stacks have left of their time is the hooks'.
  const base::Duration rest = began + kDumpWait + kAbortHookWait - std::chrono::steady_clock::now();
  call_hooks({"worker_abort", "worker_exit"}, std::max<base::Duration>(rest, kAbortHookWait));
  const std::lock_guard lock(mutex_);
  if (server_ != nullptr) server_->abort_requests(kAbortWait);
}

void Control::overdue() {
  if (only_overdue_left_.load(std::memory_order_relaxed)) {
    base::log_info("Worker exiting (pid: {}), its last requests being over their limit",
                   ::getpid());
  } else {
    base::log_warning(
        "Worker does not end in time and is cut off (pid: {}); its requests and stacks:\n{}{}",
        ::getpid(), requests(), stacks());
  }
  const std::lock_guard lock(mutex_);
  if (server_ != nullptr) server_->flush_logs();
}

std::string Control::requests() const {
  const std::lock_guard lock(mutex_);
  return server_ != nullptr ? server_->describe_requests() : std::string();
}

}  // namespace corn::process
