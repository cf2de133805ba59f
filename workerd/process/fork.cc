// SPDX-License-Identifier: Apache-2.0
#include "workerd/process/fork.h"

#include <Python.h>
#include <dirent.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string>
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

// A clone by hand calls none of the fork handlers (pthread_atfork(3)) by which libraries, OpenBLAS
// for one, put their threads away. A real fork beforehand does; its child is of no use.
void put_library_threads_away() {
  if (count_threads() <= 1) return;
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(0);
  while (pid > 0 && ::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  static bool told = false;
  const std::size_t left = count_threads();
  if (left <= 1 || told) return;
  told = true;
  base::log_warning(
      "{} thread(s) run in the template process, started by the configuration, by a hook, or by "
      "the "
      "application while it was loaded; workers are forked without them and have only what is "
      "started in them, for example by the hook post_fork or at the first request",
      left - 1);
}

// fork(2) but for the child's parent. The C library keeps the thread's id and its list of robust
// mutexes, which the kernel doesn't copy, in the thread's descriptor.
pid_t clone_sibling() {
  int* thread_id = nullptr;
  if (::prctl(PR_GET_TID_ADDRESS, &thread_id) != 0) return -1;
  robust_list_head* robust_list = nullptr;
  std::size_t size = 0;
  const bool robust = ::syscall(SYS_get_robust_list, 0, &robust_list, &size) == 0;
  constexpr unsigned long kFlags =
      CLONE_PARENT | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD;
#if defined(__x86_64__)
  const auto pid =
      static_cast<pid_t>(::syscall(SYS_clone, kFlags, nullptr, nullptr, thread_id, nullptr));
#else
  const auto pid =
      static_cast<pid_t>(::syscall(SYS_clone, kFlags, nullptr, nullptr, nullptr, thread_id));
#endif
  if (pid == 0 && robust) ::syscall(SYS_set_robust_list, robust_list, size);
  return pid;
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

// By system calls of one thread's effect: the C library's would look for threads that this process
// has not inherited.
base::Status change_identity(const base::Fork& order) {
  if (::syscall(SYS_setgroups, order.groups.size(), order.groups.data()) != 0) {
    return base::fail_errno("cannot set the supplementary groups", errno);
  }
  if (::syscall(SYS_setresgid, order.gid, order.gid, order.gid) != 0) {
    return base::fail_errno("cannot change to group " + std::to_string(order.gid), errno);
  }
  if (::syscall(SYS_setresuid, order.uid, order.uid, order.uid) != 0) {
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

base::Result<pid_t> fork_sibling() {
  // What is sent to the child must find the handlers that it is to have.
  const sigset_t quiet = quiet_set();
  sigset_t before;
  ::pthread_sigmask(SIG_BLOCK, &quiet, &before);
  const python::GilHold hold;
  PyOS_BeforeFork();
  put_library_threads_away();
  const pid_t pid = clone_sibling();
  const int error = errno;
  if (pid == 0) {
    ::setpgid(0, 0);
    PyOS_AfterFork_Child();
    return 0;
  }
  PyOS_AfterFork_Parent();
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) return base::fail_errno("cannot make a process", error);
  return pid;
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
