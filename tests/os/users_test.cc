// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/os/users.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"

namespace corn::os {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Optional;

// Debian's base-passwd gives every machine user and group "daemon" with id 1.
TEST(Users, NameIsResolvedWithItsGroups) {
  const base::Result<std::optional<Identity>> identity = resolve_identity("daemon", "daemon");
  ASSERT_TRUE(identity) << identity.error().message;
  ASSERT_TRUE(*identity);
  EXPECT_EQ((*identity)->uid, 1U);
  EXPECT_EQ((*identity)->gid, 1U);
  EXPECT_THAT((*identity)->groups, Contains(1U));
  EXPECT_EQ((*identity)->user_name, "daemon");
}

TEST(Users, NumbersNeedNoEntryInTheDatabase) {
  const base::Result<std::optional<Identity>> identity = resolve_identity("123456", "234567");
  ASSERT_TRUE(identity) << identity.error().message;
  ASSERT_TRUE(*identity);
  EXPECT_EQ((*identity)->uid, 123456U);
  EXPECT_EQ((*identity)->gid, 234567U);
  EXPECT_THAT((*identity)->groups, ElementsAre(234567U));
}

TEST(Users, UserAloneKeepsTheGroupOfTheProcess) {
  const base::Result<std::optional<Identity>> identity = resolve_identity("123456", "");
  ASSERT_TRUE(identity && *identity);
  EXPECT_EQ((*identity)->gid, ::getegid());
}

TEST(Users, WhatTheProcessIsAlreadyNeedsNoChange) {
  EXPECT_THAT(resolve_identity("", ""), Optional(testing::Eq(std::nullopt)));
  const base::Result<std::optional<Identity>> own =
      resolve_identity(std::to_string(::geteuid()), std::to_string(::getegid()));
  ASSERT_TRUE(own);
  EXPECT_FALSE(*own);
}

TEST(Users, UnknownNamesAreNamed) {
  const auto user = resolve_identity("no-such-user", "");
  ASSERT_FALSE(user);
  EXPECT_THAT(user.error().message, HasSubstr("no such user: 'no-such-user'"));
  const auto group = resolve_identity("", "no-such-group");
  ASSERT_FALSE(group);
  EXPECT_THAT(group.error().message, HasSubstr("no such group: 'no-such-group'"));
}

TEST(Users, IdThatMeansNoChangeToTheKernelIsRefused) {
  EXPECT_FALSE(resolve_identity("4294967295", ""));
  EXPECT_FALSE(resolve_identity("-1", ""));
}

TEST(Users, FileIsGivenToTheIdentity) {
  if (!test::is_root()) GTEST_SKIP() << "only root may give files away";
  const test::TemporaryDirectory directory;
  const std::string path = directory / "error.log";
  const base::UniqueFd file(::open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  ASSERT_TRUE(file);
  EXPECT_TRUE(give_file(file.get(), path, Identity{12345, 23456, {}, "", ""}));
  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, 12345U);
  EXPECT_EQ(status.st_gid, 23456U);
}

TEST(Users, WhatIsNotARegularFileIsLeft) {
  const base::UniqueFd null(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  EXPECT_TRUE(give_file(null.get(), "/dev/null", Identity{12345, 23456, {}, "", ""}));
  struct stat status {};
  ASSERT_EQ(::stat("/dev/null", &status), 0);
  EXPECT_EQ(status.st_uid, 0U);
}

}  // namespace
}  // namespace corn::os
