// SPDX-License-Identifier: Apache-2.0
#include "base/process_title.h"

#include <gmock/gmock.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

#include "support.h"

namespace corn::base {
namespace {

using os::test::in_child;
using os::test::read_file;

std::string command_line() { return read_file("/proc/self/cmdline"); }

// The command line after a call, without its last NUL.
std::string shown(std::string_view title) {
  if (const Status status = set_process_title(title); !status) return status.error().message;
  std::string text = command_line();
  if (!text.empty() && text.back() == '\0') text.pop_back();
  return text;
}

TEST(ProcessTitle, IsShownWhole) {
  EXPECT_EQ(in_child([] { return shown("corn: arbiter [wsgi_test:application]"); }),
            "corn: arbiter [wsgi_test:application]");
}

TEST(ProcessTitle, MayBeLongerThanTheCommandLineWas) {
  const std::string title(3000, 'x');
  EXPECT_EQ(in_child([&] { return shown(title); }), title);
}

TEST(ProcessTitle, TooLongATitleIsCut) {
  EXPECT_EQ(in_child([] { return shown(std::string(10'000, 'x')); }),
            std::string(kLongestProcessTitle, 'x'));
}

TEST(ProcessTitle, ShorterTitleLeavesNothingOfTheLonger) {
  EXPECT_EQ(in_child([] {
              shown(std::string(2000, 'x'));
              return shown("corn: worker [app]");
            }),
            "corn: worker [app]");
}

TEST(ProcessTitle, EnvironmentAndCommandNameStay) {
  const std::string environment = read_file("/proc/self/environ");
  const std::string name = read_file("/proc/self/comm");
  EXPECT_EQ(in_child([&] {
              shown(std::string(3000, 'x'));
              std::string report;
              report += read_file("/proc/self/environ") == environment ? "same " : "other ";
              report += read_file("/proc/self/comm") == name ? "same" : "other";
              return report;
            }),
            "same same");
}

TEST(ProcessTitle, IsInheritedByFork) {
  EXPECT_EQ(in_child([] {
              shown("corn: template [app]");
              const std::string child = in_child([] { return shown("corn: worker [app]"); });
              return child + ", " + shown("corn: template [app]");
            }),
            "corn: worker [app], corn: template [app]");
}

TEST(ProcessTitle, HeapGrowsAfterwards) {
  EXPECT_EQ(in_child([] {
              shown("corn: arbiter [app]");
              void* const before = ::sbrk(4096);
              return std::string(before != reinterpret_cast<void*>(-1) ? "grown" : "not grown");
            }),
            "grown");
}

// Makes the kernel refuse prctl(PR_SET_MM, ...) to this process with EPERM.
bool forbid_set_mm() {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_prctl, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[0])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PR_SET_MM, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{sizeof(filter) / sizeof(filter[0]), filter};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

TEST(ProcessTitle, WhereTheKernelRefusesTheArgumentsAreOverwrittenWithinTheirBounds) {
  const std::string environment = read_file("/proc/self/environ");
  const std::size_t room = command_line().size();
  const std::string result = in_child([&]() -> std::string {
    if (!forbid_set_mm()) return "no seccomp";
    if (!set_process_title(std::string(3000, 'x'))) return "refused";
    if (command_line().size() != room) return "another size";
    if (read_file("/proc/self/environ") != environment) return "environment changed";
    if (!set_process_title("corn")) return "refused";
    return command_line();
  });
  if (result == "no seccomp") GTEST_SKIP();
  EXPECT_EQ(result, "corn" + std::string(room - 4, '\0'));
}

}  // namespace
}  // namespace corn::base
