// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/os/runtime_directory.h"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "support.h"

namespace corn::os {
namespace {

using testing::HasSubstr;

// prepare_runtime_directory() with XDG_RUNTIME_DIR set to `base`, as user `uid` if that can be.
std::string prepared(const std::string& base, uid_t uid = ::geteuid()) {
  return test::in_child([&] {
    ::setenv("XDG_RUNTIME_DIR", base.c_str(), 1);
    if (uid != ::geteuid() && ::setresuid(uid, uid, uid) != 0) return std::string("setresuid");
    const base::Result<std::string> directory = prepare_runtime_directory();
    return directory ? *directory : directory.error().message;
  });
}

mode_t mode_of(const std::string& path) {
  struct stat status {};
  EXPECT_EQ(::lstat(path.c_str(), &status), 0);
  return status.st_mode & 07777U;
}

TEST(RuntimeDirectory, IsCreatedPrivateInTheUsersRuntimeDirectory) {
  const test::TemporaryDirectory base;
  EXPECT_EQ(prepared(base.path()), base / "corn");
  EXPECT_EQ(mode_of(base / "corn"), test::is_root() ? 0711U : 0700U);
  EXPECT_EQ(prepared(base.path()), base / "corn") << "a second instance finds it";
}

TEST(RuntimeDirectory, ModeDoesNotDependOnTheUmask) {
  const test::TemporaryDirectory base;
  const mode_t before = ::umask(0177);
  prepared(base.path());
  ::umask(before);
  EXPECT_EQ(mode_of(base / "corn"), test::is_root() ? 0711U : 0700U);
}

TEST(RuntimeDirectory, DirectoryThatOthersCanWriteIsRefused) {
  const test::TemporaryDirectory base;
  ASSERT_EQ(::mkdir((base / "corn").c_str(), 0700), 0);
  ASSERT_EQ(::chmod((base / "corn").c_str(), 0777), 0);
  EXPECT_THAT(prepared(base.path()), HasSubstr("its mode 0777 lets other users"));
}

TEST(RuntimeDirectory, SymbolicLinkIsRefused) {
  const test::TemporaryDirectory base;
  ASSERT_EQ(::symlink("/tmp", (base / "corn").c_str()), 0);
  EXPECT_THAT(prepared(base.path()), HasSubstr("something that is not a directory"));
}

TEST(RuntimeDirectory, DirectoryOfAnotherUserIsRefused) {
  if (!test::is_root()) GTEST_SKIP() << "only root may give files away";
  const test::TemporaryDirectory base;
  ASSERT_EQ(::mkdir((base / "corn").c_str(), 0700), 0);
  ASSERT_EQ(::chown((base / "corn").c_str(), 12345, 12345), 0);
  EXPECT_THAT(prepared(base.path()), HasSubstr("it belongs to uid 12345, not to uid 0"));
}

TEST(RuntimeDirectory, UserWithoutARuntimeDirectoryGetsOneOfHisOwn) {
  if (!test::is_root()) GTEST_SKIP() << "needs a user that owns nothing yet";
  // A uid of this test's own, so that what lies in /tmp is of this run.
  const uid_t uid = 100'000 + static_cast<uid_t>(::getpid());
  const std::string expected = "/tmp/corn-" + std::to_string(uid);
  EXPECT_EQ(prepared("/nonexistent", uid), expected);
  EXPECT_EQ(mode_of(expected), 0700U);
  ::rmdir(expected.c_str());
}

TEST(RuntimeDirectory, RelativeRuntimeDirectoryIsIgnored) {
  EXPECT_THAT(prepared("relative"), testing::Not(HasSubstr("relative")));
}

}  // namespace
}  // namespace corn::os
