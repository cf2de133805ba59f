// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/os/limits.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <algorithm>

#include "support.h"

namespace corn::os {
namespace {

TEST(Limits, ClosedStandardDescriptorsAreOpenedOnDevNull) {
  const std::string result = test::in_child([] {
    ::close(STDIN_FILENO);
    ::close(STDERR_FILENO);
    const std::string output = std::filesystem::read_symlink("/proc/self/fd/1");
    if (!ensure_standard_descriptors()) return std::string("failed");
    const bool kept = std::filesystem::read_symlink("/proc/self/fd/1") == output;
    return std::filesystem::read_symlink("/proc/self/fd/0").string() + " " +
           (kept ? "kept " : "changed ") +
           std::filesystem::read_symlink("/proc/self/fd/2").string();
  });
  EXPECT_EQ(result, "/dev/null kept /dev/null");
}

TEST(Limits, SoftDescriptorLimitIsRaisedAndTheOldOneTold) {
  const std::string result = test::in_child([] {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = std::min<rlim_t>(200, limit.rlim_max);
    ::setrlimit(RLIMIT_NOFILE, &limit);
    const base::Result<rlimit> original = raise_descriptor_limit();
    if (!original || original->rlim_cur != limit.rlim_cur) return std::string("wrong original");
    rlimit now{};
    ::getrlimit(RLIMIT_NOFILE, &now);
    return std::string(now.rlim_cur == limit.rlim_max ? "raised" : "not raised");
  });
  EXPECT_EQ(result, "raised");
}

TEST(Limits, DescriptorTableGrowsWithoutLeavingADescriptor) {
  const std::string result = test::in_child([] {
    const std::vector<int> before = test::open_descriptors();
    if (const base::Status status = reserve_descriptors(600); !status) {
      return status.error().message;
    }
    if (test::open_descriptors() != before) return std::string("a descriptor is left");
    // FDSize of proc(5) is the size of the table.
    for (const std::string& line : test::lines_of(test::read_file("/proc/self/status"))) {
      if (line.starts_with("FDSize:"))
        return std::string(std::stoi(line.substr(7)) >= 600 ? "grown" : line);
    }
    return std::string("no FDSize");
  });
  EXPECT_EQ(result, "grown");
}

TEST(Limits, ReservingMoreThanIsAllowedIsCut) {
  const std::string result = test::in_child([] {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = std::min<rlim_t>(100, limit.rlim_max);
    ::setrlimit(RLIMIT_NOFILE, &limit);
    const base::Status status = reserve_descriptors(1'000'000);
    return status ? std::string("done") : status.error().message;
  });
  EXPECT_EQ(result, "done");
}

TEST(Limits, TestIsNotTheInitProcess) { EXPECT_EQ(is_init_process(), ::getpid() == 1); }

}  // namespace
}  // namespace corn::os
