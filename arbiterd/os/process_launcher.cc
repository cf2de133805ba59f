// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/os/process_launcher.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <set>

#include "base/check.h"

// glibc's clone(2) under its internal name. ThreadSanitizer puts a wrapper meant for fork in the
// place of `clone`, which runs its own code in the child, on the parent's memory.
// NOLINTNEXTLINE(bugprone-reserved-identifier,readability-identifier-naming)
extern "C" int __clone(int (*function)(void*), void* stack, int flags, void* argument, ...);

// The child runs on memory and thread-local state that are the parent's: no instrumentation in it.
#define CORN_UNINSTRUMENTED __attribute__((noinline, no_sanitize("address", "thread", "undefined")))

namespace corn::os {
namespace {

static_assert(sizeof(void*) == 8, "32-bit kernels have other system calls for 32-bit ids");

constexpr std::size_t kStackSize = 64 * 1024;
constexpr std::size_t kGuardSize = 64 * 1024;  // a page of any architecture
constexpr std::size_t kKernelSignals = 64;
constexpr std::uint64_t kEverySignal = ~std::uint64_t{0};
constexpr std::uint64_t kNoSignal = 0;
constexpr std::size_t kSignalSetSize = sizeof(std::uint64_t);

enum class Stage {
  kNone,
  kProcessGroup,
  kSignals,
  kDescriptors,
  kCloseRange,
  kLimits,
  kOomScore,
  kDirectory,
  kGroups,
  kGroup,
  kUser,
  kExec,
};

struct Move {
  int source;
  int parked;  // an intermediate number above all targets, so that no source is overwritten
  int target;
};

struct Range {
  unsigned first;
  unsigned last;
};

// Everything the child needs, prepared by the parent; and what the child leaves for the parent to
// read, which shares its memory.
struct Plan {
  const char* program = nullptr;
  int program_file = -1;  // out of the targets' way once the descriptors are arranged
  char* const* argv = nullptr;
  char* const* environment = nullptr;
  Move* moves = nullptr;
  std::size_t move_count = 0;
  int first_parking = 0;
  const Range* closed = nullptr;
  std::size_t closed_count = 0;
  const Identity* identity = nullptr;
  const mode_t* umask = nullptr;
  const char* working_directory = nullptr;
  bool own_process_group = false;
  const ResourceLimit* limits = nullptr;
  std::size_t limit_count = 0;
  const char* oom_score = nullptr;
  std::size_t oom_score_size = 0;

  Stage failed_stage = Stage::kNone;
  std::size_t failed_index = 0;  // which descriptor or limit
  int failed_errno = 0;
};

CORN_UNINSTRUMENTED bool give_up(Plan& plan, Stage stage, std::size_t index = 0) {
  plan.failed_errno = errno;
  plan.failed_index = index;
  plan.failed_stage = stage;
  return false;
}

// The functions below run in the child. They use system calls by number: glibc's setuid and its kin
// signal "all threads of the process", which would be the parent's, and sanitizers wrap functions
// such as dup2 and close.

CORN_UNINSTRUMENTED bool reset_signals(Plan& plan) {
  // The kernel's struct sigaction, which has other members on every architecture, all zero:
  // SIG_DFL.
  const std::uint64_t default_action[8] = {};
  for (std::size_t signal = 1; signal <= kKernelSignals; ++signal) {
    if (signal == SIGKILL || signal == SIGSTOP) continue;
    if (::syscall(SYS_rt_sigaction, signal, default_action, nullptr, kSignalSetSize) != 0) {
      return give_up(plan, Stage::kSignals);
    }
  }
  return true;
}

CORN_UNINSTRUMENTED bool arrange_descriptors(Plan& plan) {
  if (plan.program_file >= 0) {
    plan.program_file = static_cast<int>(
        ::syscall(SYS_fcntl, plan.program_file, F_DUPFD_CLOEXEC, plan.first_parking));
    if (plan.program_file < 0) return give_up(plan, Stage::kExec);
  }
  for (std::size_t i = 0; i < plan.move_count; ++i) {
    Move& move = plan.moves[i];
    move.parked =
        static_cast<int>(::syscall(SYS_fcntl, move.source, F_DUPFD_CLOEXEC, plan.first_parking));
    if (move.parked < 0) return give_up(plan, Stage::kDescriptors, i);
  }
  for (std::size_t i = 0; i < plan.move_count; ++i) {
    const Move& move = plan.moves[i];
    if (::syscall(SYS_dup3, move.parked, move.target, 0) < 0) {
      return give_up(plan, Stage::kDescriptors, i);
    }
  }
  for (std::size_t i = 0; i < plan.closed_count; ++i) {
    if (::syscall(SYS_close_range, plan.closed[i].first, plan.closed[i].last,
                  CLOSE_RANGE_CLOEXEC) != 0) {
      return give_up(plan, Stage::kCloseRange);
    }
  }
  return true;
}

CORN_UNINSTRUMENTED bool set_limits(Plan& plan) {
  for (std::size_t i = 0; i < plan.limit_count; ++i) {
    if (::syscall(SYS_prlimit64, 0, plan.limits[i].resource, &plan.limits[i].limit, nullptr) != 0) {
      return give_up(plan, Stage::kLimits, i);
    }
  }
  return true;
}

CORN_UNINSTRUMENTED bool set_oom_score(Plan& plan) {
  if (plan.oom_score == nullptr) return true;
  const long file =
      ::syscall(SYS_openat, AT_FDCWD, "/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC, 0);
  if (file < 0) return give_up(plan, Stage::kOomScore);
  if (::syscall(SYS_write, file, plan.oom_score, plan.oom_score_size) < 0) {
    return give_up(plan, Stage::kOomScore);
  }
  ::syscall(SYS_close, file);
  return true;
}

CORN_UNINSTRUMENTED bool change_identity(Plan& plan) {
  if (plan.identity == nullptr) return true;
  const Identity& identity = *plan.identity;
  if (::syscall(SYS_setgroups, identity.groups.size(), identity.groups.data()) != 0) {
    return give_up(plan, Stage::kGroups);
  }
  if (::syscall(SYS_setresgid, identity.gid, identity.gid, identity.gid) != 0) {
    return give_up(plan, Stage::kGroup);
  }
  if (::syscall(SYS_setresuid, identity.uid, identity.uid, identity.uid) != 0) {
    return give_up(plan, Stage::kUser);
  }
  return true;
}

CORN_UNINSTRUMENTED bool prepare(Plan& plan) {
  // First of all: from the reset on no handler of the parent can run on this memory.
  if (!reset_signals(plan)) return false;
  if (plan.own_process_group && ::syscall(SYS_setpgid, 0, 0) != 0) {
    return give_up(plan, Stage::kProcessGroup);
  }
  if (!arrange_descriptors(plan)) return false;
  if (plan.umask != nullptr) ::syscall(SYS_umask, *plan.umask);
  if (plan.working_directory != nullptr && ::syscall(SYS_chdir, plan.working_directory) != 0) {
    return give_up(plan, Stage::kDirectory);
  }
  // While still privileged: a limit above the hard one and a lower score need capabilities.
  if (!set_limits(plan) || !set_oom_score(plan)) return false;
  return change_identity(plan);
}

CORN_UNINSTRUMENTED int child_main(void* argument) {
  Plan& plan = *static_cast<Plan*>(argument);
  if (prepare(plan)) {
    ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &kNoSignal, nullptr, kSignalSetSize);
    if (plan.program_file >= 0) {
      ::syscall(SYS_execveat, plan.program_file, "", plan.argv, plan.environment, AT_EMPTY_PATH);
    } else {
      ::syscall(SYS_execve, plan.program, plan.argv, plan.environment);
    }
    give_up(plan, Stage::kExec);
  }
  ::syscall(SYS_exit_group, 127);
  return 127;
}

// Blocks every signal of this thread for its life, those that glibc keeps for itself included.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &kEverySignal, &before_, kSignalSetSize);
  }
  ~SignalsBlocked() {
    ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before_, nullptr, kSignalSetSize);
  }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  std::uint64_t before_ = 0;
};

// execve(2) wants pointers to non-const.
std::vector<char*> to_pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& string : strings) pointers.push_back(const_cast<char*>(string.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// The descriptors between and above those in `kept`.
std::vector<Range> complement(const std::set<unsigned>& kept) {
  std::vector<Range> ranges;
  unsigned next = 0;
  for (const unsigned fd : kept) {
    if (fd > next) ranges.push_back({next, fd - 1});
    next = fd + 1;
  }
  ranges.push_back({next, ~0U});
  return ranges;
}

std::string id_text(unsigned id, const char* kind, const std::string& name) {
  std::string number = std::to_string(id);
  if (name.empty() || name == number) return number;
  return number + " (" + kind + " " + name + ")";
}

std::string describe_change(Stage stage, const Identity& identity) {
  if (stage == Stage::kGroup) {
    return "setgid " + id_text(identity.gid, "group", identity.group_name);
  }
  const std::string user = id_text(identity.uid, "user", identity.user_name);
  return (stage == Stage::kGroups ? "setgroups for uid " : "setuid ") + user;
}

tl::unexpected<base::Error> describe(const Plan& plan) {
  const int error = plan.failed_errno;
  switch (plan.failed_stage) {
    case Stage::kNone:
      break;
    case Stage::kProcessGroup:
      return base::fail_errno("setpgid", error);
    case Stage::kSignals:
      return base::fail_errno("reset signal actions", error);
    case Stage::kDescriptors: {
      const Move& move = plan.moves[plan.failed_index];
      return base::fail_errno(
          "pass descriptor " + std::to_string(move.source) + " as " + std::to_string(move.target),
          error);
    }
    case Stage::kCloseRange:
      return base::fail_errno("close_range (needs Linux 5.11, and a seccomp filter that knows it)",
                              error);
    case Stage::kLimits: {
      const ResourceLimit& limit = plan.limits[plan.failed_index];
      return base::fail_errno("set resource limit " + std::to_string(limit.resource) + " to " +
                                  std::to_string(limit.limit.rlim_cur) + " (hard " +
                                  std::to_string(limit.limit.rlim_max) + ")",
                              error);
    }
    case Stage::kOomScore:
      return base::fail_errno(
          std::string("write ") + plan.oom_score + " to /proc/self/oom_score_adj", error);
    case Stage::kDirectory:
      return base::fail_errno(std::string("chdir ") + plan.working_directory, error);
    case Stage::kGroups:
    case Stage::kGroup:
    case Stage::kUser:
      CORN_CHECK(plan.identity != nullptr);
      return base::fail_errno(describe_change(plan.failed_stage, *plan.identity), error);
    case Stage::kExec:
      return base::fail_errno(std::string("exec ") + plan.program, error);
  }
  return base::fail("start a process: unknown failure", error);
}

}  // namespace

CloneLauncher::CloneLauncher() {
  void* const mapping = ::mmap(nullptr, kGuardSize + kStackSize, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  CORN_CHECK(mapping != MAP_FAILED);
  CORN_CHECK(::mprotect(mapping, kGuardSize, PROT_NONE) == 0);
  stack_ = mapping;
}

CloneLauncher::~CloneLauncher() { ::munmap(stack_, kGuardSize + kStackSize); }

base::Result<Child> CloneLauncher::launch(const LaunchSpec& spec) {
  const std::vector<char*> argv = to_pointers(spec.argv);
  const std::vector<char*> environment = to_pointers(spec.environment);
  const std::string oom_score =
      spec.oom_score_adjustment ? std::to_string(*spec.oom_score_adjustment) : "";

  std::vector<Move> moves;
  std::set<unsigned> kept{STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO};
  for (const DescriptorMapping& mapping : spec.descriptors) {
    CORN_CHECK(mapping.target >= 0);
    moves.push_back({mapping.source, -1, mapping.target});
    kept.insert(static_cast<unsigned>(mapping.target));
  }
  const std::vector<Range> closed = complement(kept);

  Plan plan;
  plan.program = spec.program.c_str();
  plan.program_file = spec.program_file;
  plan.argv = argv.data();
  plan.environment = environment.data();
  plan.moves = moves.data();
  plan.move_count = moves.size();
  plan.first_parking = static_cast<int>(*kept.rbegin() + 1);
  plan.closed = closed.data();
  plan.closed_count = closed.size();
  plan.identity = spec.identity ? &*spec.identity : nullptr;
  plan.umask = spec.umask ? &*spec.umask : nullptr;
  plan.working_directory =
      spec.working_directory.empty() ? nullptr : spec.working_directory.c_str();
  plan.own_process_group = spec.own_process_group;
  plan.limits = spec.limits.data();
  plan.limit_count = spec.limits.size();
  plan.oom_score = spec.oom_score_adjustment ? oom_score.c_str() : nullptr;
  plan.oom_score_size = oom_score.size();

  const int dumpable = ::prctl(PR_GET_DUMPABLE);
  int pidfd = -1;
  int pid = -1;
  int clone_errno = 0;
  {
    const SignalsBlocked blocked;
    pid = __clone(child_main, static_cast<char*>(stack_) + kGuardSize + kStackSize,
                  CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &plan, &pidfd);
    clone_errno = errno;
  }
  if (pid < 0) {
    return base::fail_errno(
        clone_errno == EAGAIN
            ? "create a process (the limit of processes or threads is reached: ulimit -u, or "
              "pids.max of the cgroup)"
            : "create a process (clone)",
        clone_errno);
  }
  // The child's change of ids has marked the memory, shared with this process, as not dumpable.
  if (plan.identity != nullptr && dumpable == 1) ::prctl(PR_SET_DUMPABLE, 1);

  Child child{pid, base::UniqueFd(pidfd)};
  if (plan.failed_stage != Stage::kNone) {
    siginfo_t info{};
    while (::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED) != 0 && errno == EINTR) {
    }
    return describe(plan);
  }
  return child;
}

}  // namespace corn::os
