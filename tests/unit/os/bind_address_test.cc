// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/os/bind_address.h"

#include <gmock/gmock.h>

#include <string>

namespace corn::os {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// The address in its normal form, or the message.
std::string normal(std::string_view text) {
  const base::Result<BindAddress> address = parse_bind_address(text);
  return address ? address->text() : address.error().message;
}

TEST(BindAddress, EveryFormIsRead) {
  EXPECT_EQ(normal("127.0.0.1:8000"), "127.0.0.1:8000");
  EXPECT_EQ(normal("tcp://127.0.0.1:8000"), "127.0.0.1:8000");
  EXPECT_EQ(normal("Localhost:80"), "localhost:80");
  EXPECT_EQ(normal("0.0.0.0:0"), "0.0.0.0:0");
  EXPECT_EQ(normal("[::1]:8080"), "[::1]:8080");
  EXPECT_EQ(normal("[::]:65535"), "[::]:65535");
  EXPECT_EQ(normal("unix:/run/app.sock"), "unix:/run/app.sock");
  EXPECT_EQ(normal("unix:///run/app.sock"), "unix:/run/app.sock");
  EXPECT_EQ(normal("unix://app.sock"), "unix:app.sock");
  EXPECT_EQ(normal("unix:@corn"), "unix:@corn");
  EXPECT_EQ(normal("fd://3"), "fd://3");
}

TEST(BindAddress, WhatIsLeftOutIsAsInGunicorn) {
  EXPECT_EQ(normal(":8000"), "0.0.0.0:8000");
  EXPECT_EQ(normal("127.0.0.1"), "127.0.0.1:8000");
  EXPECT_EQ(normal("[::1]"), "[::1]:8000");
  EXPECT_EQ(normal(""), "0.0.0.0:8000");
}

TEST(BindAddress, DifferentSpellingsOfOneAddressAreEqual) {
  EXPECT_EQ(*parse_bind_address("unix:///run/app.sock"), *parse_bind_address("unix:/run/app.sock"));
  EXPECT_EQ(*parse_bind_address("LOCALHOST"), *parse_bind_address("localhost:8000"));
  EXPECT_NE(*parse_bind_address("unix:@name"), *parse_bind_address("unix:name"));
}

TEST(BindAddress, WhatIsWrongIsNamedWithWhatIsAllowed) {
  EXPECT_THAT(normal("127.0.0.1:http"),
              AllOf(HasSubstr("'127.0.0.1:http'"), HasSubstr("'http' is not a port (0 to 65535)"),
                    HasSubstr("write HOST:PORT, [IPV6]:PORT, :PORT, unix:PATH or fd://N")));
  EXPECT_THAT(normal("127.0.0.1:65536"), HasSubstr("'65536' is not a port"));
  EXPECT_THAT(normal("127.0.0.1:"), HasSubstr("'' is not a port"));
  EXPECT_THAT(normal("127.0.0.1:-1"), HasSubstr("'-1' is not a port"));
  EXPECT_THAT(normal("::1"), HasSubstr("an IPv6 address needs brackets"));
  EXPECT_THAT(normal("[::1"), HasSubstr("']' is missing"));
  EXPECT_THAT(normal("[::1]8000"), HasSubstr("':PORT' must follow"));
  EXPECT_THAT(normal("[]:8000"), HasSubstr("no address in the brackets"));
  EXPECT_THAT(normal("8000"), HasSubstr("did you mean :8000"));
  EXPECT_THAT(normal("unix:"), HasSubstr("the path is missing"));
  EXPECT_THAT(normal("unix:@"), HasSubstr("the path is missing"));
  EXPECT_THAT(normal("fd://x"), HasSubstr("'x' is not a descriptor's number"));
  EXPECT_THAT(normal("fd://-1"), HasSubstr("'-1' is not a descriptor's number"));
  EXPECT_THAT(normal("https://127.0.0.1"), HasSubstr("'https://' is not known here"));
}

TEST(BindAddress, UnixPathMustFitASocketAddress) {
  EXPECT_EQ(normal("unix:/" + std::string(106, 'x')), "unix:/" + std::string(106, 'x'));
  EXPECT_THAT(normal("unix:/" + std::string(107, 'x')), HasSubstr("108 bytes"));
}

}  // namespace
}  // namespace corn::os
