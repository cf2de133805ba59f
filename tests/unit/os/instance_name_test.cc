// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <string>

#include "arbiterd/os/runtime_directory.h"

namespace corn::os {
namespace {

using testing::MatchesRegex;

constexpr std::size_t kLongestSocketPath = 107;  // unix(7): sun_path less its NUL

std::string name_of(std::string_view name, std::string_view application = "app:application",
                    std::string_view directory = "/srv/app",
                    const std::vector<std::string>& listeners = {"127.0.0.1:8000"}) {
  const base::Result<std::string> result =
      instance_name(name, application, directory, listeners, "/run/corn");
  return result ? *result : result.error().message;
}

TEST(InstanceName, IsTheNameGiven) { EXPECT_EQ(name_of("shop"), "shop"); }

TEST(InstanceName, DefaultIsTheApplicationAndAHashOfItsPlace) {
  EXPECT_THAT(name_of(""), MatchesRegex("app:application-[0-9a-f]{8}"));
  EXPECT_EQ(name_of(""), name_of("")) << "the next arbiter must find it again";
  EXPECT_NE(name_of(""), name_of("", "app:application", "/srv/other"));
  EXPECT_NE(name_of(""), name_of("", "app:application", "/srv/app", {"127.0.0.1:8001"}));
  EXPECT_NE(name_of("", "app", "/srv", {"a", "b"}), name_of("", "app", "/srv", {"ab"}));
}

TEST(InstanceName, IsAFileNameAndDifferentNamesStayDifferent) {
  EXPECT_EQ(name_of("a/b"), "a%2Fb");
  EXPECT_EQ(name_of("a%2Fb"), "a%252Fb");
  EXPECT_EQ(name_of(".."), "%2E.");
  EXPECT_EQ(name_of("blog v2"), "blog%20v2");
  EXPECT_EQ(name_of("caf\xc3\xa9"), "caf%C3%A9");
}

TEST(InstanceName, SocketPathsFitAndCutNamesStayDifferent) {
  const std::string first = name_of(std::string(200, 'x') + "1");
  const std::string second = name_of(std::string(200, 'x') + "2");
  EXPECT_NE(first, second);
  for (const std::string& name : {first, second}) {
    EXPECT_LE(std::string("/run/corn/").size() + name.size() + kLongestSocketEnding,
              kLongestSocketPath);
  }
}

TEST(InstanceName, RuntimeDirectoryWithoutRoomForANameIsRefused) {
  const base::Result<std::string> result =
      instance_name("shop", "app", "/srv", {}, "/" + std::string(80, 'd'));
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message, testing::HasSubstr("set XDG_RUNTIME_DIR to a shorter one"));
}

}  // namespace
}  // namespace corn::os
