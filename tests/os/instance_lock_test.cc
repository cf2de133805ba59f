// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/os/instance_lock.h"

#include <gmock/gmock.h>

#include <csignal>
#include <optional>

#include "support.h"

namespace corn::os {
namespace {

using testing::HasSubstr;

std::string own_pid_line() { return std::to_string(::getpid()) + "\n"; }

TEST(InstanceLock, HoldsThePidAndIsRemovedAtTheEnd) {
  const test::TemporaryDirectory directory;
  const std::string path = directory / "app.lock";
  {
    const base::Result<InstanceLock> lock = InstanceLock::acquire(directory.path(), "app");
    ASSERT_TRUE(lock) << lock.error().message;
    EXPECT_EQ(lock->path(), path);
    EXPECT_EQ(test::read_file(path), own_pid_line());
  }
  EXPECT_FALSE(test::exists(path));
}

TEST(InstanceLock, SecondHolderIsRefusedWithThePidOfTheFirst) {
  const test::TemporaryDirectory directory;
  const base::Result<InstanceLock> first = InstanceLock::acquire(directory.path(), "app");
  ASSERT_TRUE(first);
  const std::string error = test::in_child([&] {
    const base::Result<InstanceLock> second = InstanceLock::acquire(directory.path(), "app");
    return second ? "no failure" : second.error().message;
  });
  EXPECT_EQ(error, "instance app is already running (pid " + std::to_string(::getpid()) +
                       "); stop it first, or start this one under another name (--name)");
  EXPECT_EQ(test::read_file(first->path()), own_pid_line());
}

TEST(InstanceLock, OtherNameIsAnotherInstance) {
  const test::TemporaryDirectory directory;
  const base::Result<InstanceLock> first = InstanceLock::acquire(directory.path(), "one");
  const base::Result<InstanceLock> second = InstanceLock::acquire(directory.path(), "two");
  EXPECT_TRUE(first);
  EXPECT_TRUE(second);
}

TEST(InstanceLock, FileOfAKilledHolderIsTakenOver) {
  const test::TemporaryDirectory directory;
  test::in_child([&]() -> std::string {
    const base::Result<InstanceLock> lock = InstanceLock::acquire(directory.path(), "app");
    ::raise(SIGKILL);
    return "";
  });
  ASSERT_TRUE(test::exists(directory / "app.lock"));
  const base::Result<InstanceLock> lock = InstanceLock::acquire(directory.path(), "app");
  ASSERT_TRUE(lock) << lock.error().message;
  EXPECT_EQ(test::read_file(lock->path()), own_pid_line());
}

TEST(InstanceLock, LongerContentLeftBehindIsReplacedWhole) {
  const test::TemporaryDirectory directory;
  test::write_file(directory / "app.lock", "99999999999999999999\nrubbish\n");
  const base::Result<InstanceLock> lock = InstanceLock::acquire(directory.path(), "app");
  ASSERT_TRUE(lock);
  EXPECT_EQ(test::read_file(lock->path()), own_pid_line());
}

TEST(InstanceLock, FileThatIsSomebodyElsesByNowIsNotRemoved) {
  const test::TemporaryDirectory directory;
  const std::string path = directory / "app.lock";
  {
    const base::Result<InstanceLock> lock = InstanceLock::acquire(directory.path(), "app");
    ASSERT_TRUE(lock);
    ASSERT_EQ(::unlink(path.c_str()), 0);
    test::write_file(path, "another's");
  }
  EXPECT_EQ(test::read_file(path), "another's");
}

TEST(InstanceLock, AtMostOneHolderWhileManyComeAndGo) {
  // Every process takes the lock again and again; while it holds it, it creates a file exclusively.
  const test::TemporaryDirectory directory;
  const std::string mark = directory / "mark";
  std::vector<pid_t> pids;
  for (int process = 0; process < 4; ++process) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      int held = 0;
      while (held < 100) {
        const base::Result<InstanceLock> lock = InstanceLock::acquire(directory.path(), "app");
        if (!lock) continue;
        ++held;
        const base::UniqueFd file(
            ::open(mark.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600));
        if (!file) ::_exit(1);
        ::unlink(mark.c_str());
      }
      ::_exit(0);
    }
    pids.push_back(pid);
  }
  for (const pid_t pid : pids) EXPECT_EQ(test::wait_for_exit(pid), 0);
}

TEST(InstanceLock, DirectoryThatDoesNotExistIsNamed) {
  const base::Result<InstanceLock> lock = InstanceLock::acquire("/nonexistent", "app");
  ASSERT_FALSE(lock);
  EXPECT_THAT(lock.error().message, HasSubstr("/nonexistent/app.lock: No such file"));
}

}  // namespace
}  // namespace corn::os
