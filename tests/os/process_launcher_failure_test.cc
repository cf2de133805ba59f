// SPDX-License-Identifier: Apache-2.0
// Each step between clone and exec that can fail is reported by its name and the reason.
#include <gmock/gmock.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cerrno>

#include "arbiterd/os/process_launcher.h"
#include "support.h"

namespace corn::os {
namespace {

using test::probe;
using testing::EndsWith;
using testing::HasSubstr;

constexpr uid_t kUnprivileged = 12345;

std::string error_of(const LaunchSpec& spec) {
  CloneLauncher launcher;
  const base::Result<Child> child = launcher.launch(spec);
  if (!child) return child.error().message;
  test::wait_for_exit(child->pid);
  return "no failure";
}

// The same from a process that isn't root.
std::string unprivileged_error_of(const LaunchSpec& spec) {
  return test::in_child([&] {
    if (test::is_root() && (::setresgid(kUnprivileged, kUnprivileged, kUnprivileged) != 0 ||
                            ::setresuid(kUnprivileged, kUnprivileged, kUnprivileged) != 0)) {
      return std::string("cannot drop privileges");
    }
    return error_of(spec);
  });
}

// The same from root without one capability.
std::string error_without_capability(int capability, const LaunchSpec& spec) {
  return test::in_child([&] {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
    if (::syscall(SYS_capget, &header, data) != 0) return std::string("capget");
    data[0].effective &= ~(1U << static_cast<unsigned>(capability));
    if (::syscall(SYS_capset, &header, data) != 0) return std::string("capset");
    return error_of(spec);
  });
}

TEST(LaunchFailure, ProgramThatDoesNotExist) {
  LaunchSpec spec = probe({});
  spec.program = "/nonexistent/workerd";
  EXPECT_EQ(error_of(spec), "exec /nonexistent/workerd: No such file or directory");
}

TEST(LaunchFailure, ProgramThatMayNotBeExecuted) {
  const test::TemporaryDirectory directory;
  LaunchSpec spec = probe({});
  spec.program = directory / "workerd";
  test::write_file(spec.program, "not executable");
  EXPECT_EQ(error_of(spec), "exec " + spec.program + ": Permission denied");
}

TEST(LaunchFailure, ProgramOfAnUnknownFormat) {
  const test::TemporaryDirectory directory;
  LaunchSpec spec = probe({});
  spec.program = directory / "workerd";
  test::write_file(spec.program, "not a program");
  ASSERT_EQ(::chmod(spec.program.c_str(), 0755), 0);
  EXPECT_EQ(error_of(spec), "exec " + spec.program + ": Exec format error");
}

TEST(LaunchFailure, WorkingDirectoryThatDoesNotExist) {
  LaunchSpec spec = probe({"exit", "0"});
  spec.working_directory = "/nonexistent";
  EXPECT_EQ(error_of(spec), "chdir /nonexistent: No such file or directory");
}

TEST(LaunchFailure, DescriptorThatIsNotOpen) {
  LaunchSpec spec = probe({"exit", "0"});
  spec.descriptors = {{STDIN_FILENO, 10}, {9999, 11}};
  EXPECT_EQ(error_of(spec), "pass descriptor 9999 as 11: Bad file descriptor");
}

TEST(LaunchFailure, LimitAboveTheHardOne) {
  LaunchSpec spec = probe({"exit", "0"});
  spec.limits = {{RLIMIT_CORE, rlimit{0, 0}}, {RLIMIT_CORE, rlimit{0, 1}}};
  EXPECT_THAT(unprivileged_error_of(spec), EndsWith("to 0 (hard 1): Operation not permitted"));
}

TEST(LaunchFailure, OomScoreBelowWhatIsAllowed) {
  LaunchSpec spec = probe({"exit", "0"});
  spec.oom_score_adjustment = -1000;
  EXPECT_EQ(unprivileged_error_of(spec),
            "write -1000 to /proc/self/oom_score_adj: Permission denied");
}

TEST(LaunchFailure, UserWithoutPrivilege) {
  LaunchSpec spec = probe({"exit", "0"});
  spec.identity = Identity{33, 33, {33}, "www-data", "www-data"};
  EXPECT_EQ(unprivileged_error_of(spec),
            "setgroups for uid 33 (user www-data): Operation not permitted");
}

TEST(LaunchFailure, UserWithoutTheCapability) {
  if (!test::is_root()) GTEST_SKIP() << "needs root's other capabilities";
  LaunchSpec spec = probe({"exit", "0"});
  spec.identity = Identity{33, 33, {33}, "www-data", "www-data"};
  EXPECT_EQ(error_without_capability(CAP_SETUID, spec),
            "setuid 33 (user www-data): Operation not permitted");
}

TEST(LaunchFailure, NumericUserIsNotNamedTwice) {
  if (!test::is_root()) GTEST_SKIP() << "needs root's other capabilities";
  LaunchSpec spec = probe({"exit", "0"});
  spec.identity = Identity{33, 33, {33}, "33", ""};
  EXPECT_EQ(error_without_capability(CAP_SETUID, spec), "setuid 33: Operation not permitted");
}

TEST(LaunchFailure, ProcessLimit) {
  const std::string error = test::in_child([] {
    if (test::is_root() && ::setresuid(kUnprivileged, kUnprivileged, kUnprivileged) != 0) {
      return std::string("cannot drop privileges");
    }
    const rlimit none{0, 0};
    ::setrlimit(RLIMIT_NPROC, &none);
    return error_of(probe({"exit", "0"}));
  });
  EXPECT_THAT(error, HasSubstr("the limit of processes or threads is reached"));
}

TEST(LaunchFailure, LeavesNeitherAZombieNorADescriptor) {
  LaunchSpec spec = probe({});
  spec.program = "/nonexistent/workerd";
  error_of(spec);
  const std::vector<int> before = test::open_descriptors();
  error_of(spec);
  EXPECT_EQ(test::open_descriptors(), before);
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

}  // namespace
}  // namespace corn::os
