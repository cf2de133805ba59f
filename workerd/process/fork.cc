// SPDX-License-Identifier: Apache-2.0
#include "workerd/process/fork.h"

#include <Python.h>
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "base/log.h"
#include "workerd/runtimes/python/gil.h"
#include "workerd/runtimes/python/hooks.h"

namespace corn::process {
namespace {

void ignore_signal(int /*signal_number*/) {}

sigset_t quiet_set() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal_number : QuietSignals::kSignals) sigaddset(&set, signal_number);
  return set;
}

// 0 when that can't be seen.
std::size_t count_threads() {
  DIR* directory = ::opendir("/proc/self/task");
  if (directory == nullptr) return 0;
  std::size_t count = 0;
  while (const dirent* entry = ::readdir(directory)) count += entry->d_name[0] != '.' ? 1 : 0;
  ::closedir(directory);
  return count;
}

// Once for each process: it says the same of every worker.
void warn_of_threads() {
  static bool told = false;
  const std::size_t count = count_threads();
  if (count <= 1 || told) return;
  told = true;
  base::log_warning(
      "{} thread(s) run in the template process, started by the configuration, by a hook, or by "
      "the "
      "application while it was loaded; workers are forked without them and have only what is "
      "started in them, for example by the hook post_fork or at the first request",
      count - 1);
}

// How the worker, or the process in between that could not make it, reports to the template: a pid,
// or an error number with a minus sign.
class Report {
 public:
  static base::Result<Report> make() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return base::fail_errno(kFailure, errno);
    Report report;
    report.reader_.reset(ends[0]);
    report.writer_.reset(ends[1]);
    return report;
  }

  void tell(int what) const {
    while (::write(writer_.get(), &what, sizeof what) < 0 && errno == EINTR) {
    }
  }

  // In the template, which is to see the end of all that could tell something.
  void only_listen() { writer_.reset(); }

  // Waits. `maker` is the process in between.
  [[nodiscard]] base::Result<pid_t> hear(pid_t maker) const {
    int what = 0;
    ssize_t n = 0;
    do {
      n = ::read(reader_.get(), &what, sizeof what);
    } while (n < 0 && errno == EINTR);
    while (::waitpid(maker, nullptr, 0) < 0 && errno == EINTR) {
    }
    if (n != sizeof what)
      return base::fail(std::string(kFailure) + ": it ended before it was arbiterd's child");
    if (what < 0) return base::fail_errno(kFailure, -what);
    return what;
  }

  static constexpr const char* kFailure = "cannot make a process";

 private:
  base::UniqueFd reader_;
  base::UniqueFd writer_;
};

// Until the calling process has been given to somebody else, as `maker` has ended.
void wait_for_end_of(pid_t maker) {
  constexpr int kLookAgainMilliseconds = 10;  // where no descriptor can be had
  const base::UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, maker, 0)));
  while (::getppid() == maker) {
    pollfd ended = {pidfd.get(), POLLIN, 0};
    ::poll(&ended, 1, kLookAgainMilliseconds);
  }
}

// In the process in between; returns in the worker. `parent` is who shall have it for a child.
void make_worker(const Report& report, pid_t parent) {
  const pid_t self = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) report.tell(-errno);
  if (pid != 0) ::_exit(0);
  ::setpgid(0, 0);
  wait_for_end_of(self);
  // Otherwise the parent has ended meanwhile.
  if (::getppid() != parent) ::_exit(0);
  report.tell(::getpid());
}

base::Status limit_descriptors(std::uint64_t wanted) {
  if (wanted == 0) return {};
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) {
    return base::fail_errno("cannot read the limit of descriptors", errno);
  }
  limit.rlim_cur = wanted;
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) {
    return base::fail_errno("cannot set the limit of descriptors to " + std::to_string(wanted),
                            errno);
  }
  return {};
}

// Of all threads: the hook post_fork may have started some.
base::Status change_identity(const base::Fork& order) {
  if (::setgroups(order.groups.size(), order.groups.data()) != 0) {
    return base::fail_errno("cannot set the supplementary groups", errno);
  }
  if (::setresgid(order.gid, order.gid, order.gid) != 0) {
    return base::fail_errno("cannot change to group " + std::to_string(order.gid), errno);
  }
  if (::setresuid(order.uid, order.uid, order.uid) != 0) {
    return base::fail_errno("cannot change to user " + std::to_string(order.uid), errno);
  }
  // As after exec(2): core dumps, and /proc/PID that is its user's own.
  ::prctl(PR_SET_DUMPABLE, 1);
  return {};
}

}  // namespace

QuietSignals::QuietSignals() {
  struct sigaction action {};
  action.sa_handler = &ignore_signal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (std::size_t i = 0; i < kSignals.size(); ++i) {
    ::sigaction(kSignals[i], &action, &before_[i]);
  }
}

void QuietSignals::restore() {
  if (!active_) return;
  active_ = false;
  for (std::size_t i = 0; i < kSignals.size(); ++i) {
    ::sigaction(kSignals[i], &before_[i], nullptr);
  }
}

base::Result<pid_t> fork_sibling(pid_t parent) {
  // With the interpreter's lock from here to only_listen(): what Python forks in other threads
  // must not hold the report open.
  std::optional<python::GilHold> hold(std::in_place);
  auto report = Report::make();
  if (!report) return tl::unexpected(report.error());
  // What is sent to the child must find the handlers that it is to have.
  const sigset_t quiet = quiet_set();
  sigset_t before;
  ::pthread_sigmask(SIG_BLOCK, &quiet, &before);
  PyOS_BeforeFork();
  const pid_t pid = ::fork();
  const int error = errno;
  if (pid == 0) {
    make_worker(*report, parent);
    PyOS_AfterFork_Child();
    return 0;
  }
  report->only_listen();
  PyOS_AfterFork_Parent();
  hold.reset();
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) return base::fail_errno(Report::kFailure, error);
  auto worker = report->hear(pid);
  warn_of_threads();
  return worker;
}

void allow_signals() {
  const sigset_t quiet = quiet_set();
  ::pthread_sigmask(SIG_UNBLOCK, &quiet, nullptr);
}

base::Status settle(const base::Fork& order) {
  if (!order.environment.empty()) {
    if (auto set = python::set_environment(order.environment); !set) return set;
  }
  if (order.has_umask) ::umask(static_cast<mode_t>(order.umask));
  if (auto limited = limit_descriptors(order.descriptor_limit); !limited) return limited;
  if (!order.has_identity) return {};
  return change_identity(order);
}

std::uint32_t age_of_next(const base::UniqueFd& channel) {
  std::string bytes(base::kMaxMessageBytes, '\0');
  const ssize_t n = ::recv(channel.get(), bytes.data(), bytes.size(), MSG_PEEK | MSG_DONTWAIT);
  if (n <= 0) return 0;
  auto message = base::decode(std::string_view(bytes).substr(0, static_cast<std::size_t>(n)));
  if (!message) return 0;
  const auto* configure = std::get_if<base::Configure>(&*message);
  return configure != nullptr ? configure->config.age : 0;
}

}  // namespace corn::process
