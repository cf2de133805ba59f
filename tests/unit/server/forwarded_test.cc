// SPDX-License-Identifier: Apache-2.0
#include "workerd/server/forwarded.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <cstring>

namespace corn::server {
namespace {

sockaddr_storage peer(const char* text) {
  sockaddr_storage storage{};
  sockaddr_in v4{};
  sockaddr_in6 v6{};
  if (::inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    std::memcpy(&storage, &v4, sizeof(v4));
  } else if (::inet_pton(AF_INET6, text, &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    std::memcpy(&storage, &v6, sizeof(v6));
  } else {
    storage.ss_family = AF_UNIX;
  }
  return storage;
}

TrustedPeers peers(const std::vector<std::string>& entries) {
  auto parsed = TrustedPeers::parse("forwarded_allow_ips", entries);
  EXPECT_TRUE(parsed) << parsed.error().message;
  return std::move(*parsed);
}

TEST(TrustedPeersTest, AddressMatchesItselfOnly) {
  const TrustedPeers trusted = peers({"127.0.0.1", "::1"});
  EXPECT_TRUE(trusted.trusts(peer("127.0.0.1")));
  EXPECT_TRUE(trusted.trusts(peer("::1")));
  EXPECT_FALSE(trusted.trusts(peer("127.0.0.2")));
  EXPECT_FALSE(trusted.trusts(peer("::2")));
}

TEST(TrustedPeersTest, NetworkMatchesItsPrefix) {
  const TrustedPeers trusted = peers({"10.1.0.0/12", "2001:db8::/33"});
  EXPECT_TRUE(trusted.trusts(peer("10.15.255.255")));
  EXPECT_FALSE(trusted.trusts(peer("10.16.0.0")));
  EXPECT_TRUE(trusted.trusts(peer("2001:db8:7fff::1")));
  EXPECT_FALSE(trusted.trusts(peer("2001:db8:8000::1")));
}

TEST(TrustedPeersTest, MappedAddressIsTheIpv4Address) {
  EXPECT_TRUE(peers({"10.0.0.0/8"}).trusts(peer("::ffff:10.2.3.4")));
}

TEST(TrustedPeersTest, StarTrustsEverybody) {
  EXPECT_TRUE(peers({"*"}).trusts(peer("203.0.113.9")));
}

TEST(TrustedPeersTest, UnixSocketPeerIsTrusted) { EXPECT_TRUE(peers({}).trusts(peer("unix"))); }

TEST(TrustedPeersTest, NobodyIsTrustedByAnEmptyList) {
  EXPECT_FALSE(peers({}).trusts(peer("127.0.0.1")));
}

TEST(TrustedPeersTest, MalformedEntryIsRefusedByName) {
  for (const char* entry : {"localhost", "10.0.0.0/33", "10.0.0.0/", "::/129", "10.0.0.0/x", ""}) {
    const auto parsed = TrustedPeers::parse("forwarded_allow_ips", {entry});
    ASSERT_FALSE(parsed) << entry;
    EXPECT_NE(parsed.error().message.find(std::string("'") + entry + "'"), std::string::npos);
  }
}

class ForwardedSchemeTest : public ::testing::Test {
 protected:
  std::optional<std::string_view> scheme(std::vector<http::Field> fields) {
    auto parsed = ForwardedScheme::parse({"X-FORWARDED-PROTO=https", "X-FORWARDED-SSL=on"});
    EXPECT_TRUE(parsed);
    head_.fields = std::move(fields);
    return parsed->scheme(head_);
  }
  http::RequestHead head_;
};

TEST_F(ForwardedSchemeTest, WithoutFieldsItIsHttp) { EXPECT_EQ(scheme({}), "http"); }

TEST_F(ForwardedSchemeTest, SecureValueIsHttpsWhateverTheNamesCase) {
  EXPECT_EQ(scheme({{"x-forwarded-Proto", "https"}}), "https");
}

TEST_F(ForwardedSchemeTest, OtherValueIsHttp) {
  EXPECT_EQ(scheme({{"X-Forwarded-Proto", "HTTPS"}}), "http");
}

TEST_F(ForwardedSchemeTest, ContradictionIsNoScheme) {
  EXPECT_EQ(scheme({{"X-Forwarded-Proto", "https"}, {"X-Forwarded-Ssl", "off"}}), std::nullopt);
}

TEST_F(ForwardedSchemeTest, RuleWithoutValueSeparatorIsRefused) {
  EXPECT_FALSE(ForwardedScheme::parse({"X-FORWARDED-PROTO"}));
}

}  // namespace
}  // namespace corn::server
