// SPDX-License-Identifier: Apache-2.0
// What the corpus can't show: bounds on what is read.
#include "workerd/http/proxy_protocol.h"

#include <gtest/gtest.h>

#include <string>

namespace corn::http {
namespace {

using Kind = ProxyResult::Kind;

TEST(ProxyProtocol, IsAbsentWhenOff) {
  EXPECT_EQ(parse_proxy_header("PROXY UNKNOWN\r\n", ProxyProtocolMode::kOff).kind, Kind::kAbsent);
  EXPECT_EQ(parse_proxy_header("", ProxyProtocolMode::kOff).kind, Kind::kAbsent);
}

TEST(ProxyProtocol, NeedsMoreAsLongAsTheStartFits) {
  EXPECT_EQ(parse_proxy_header("", ProxyProtocolMode::kV1).kind, Kind::kNeedMore);
  EXPECT_EQ(parse_proxy_header("P", ProxyProtocolMode::kV1).kind, Kind::kNeedMore);
  EXPECT_EQ(parse_proxy_header("PO", ProxyProtocolMode::kV1).kind, Kind::kAbsent);
  EXPECT_EQ(parse_proxy_header("\r\n\r\n", ProxyProtocolMode::kV2).kind, Kind::kNeedMore);
  EXPECT_EQ(parse_proxy_header("\r\nG", ProxyProtocolMode::kV2).kind, Kind::kAbsent);
  EXPECT_EQ(parse_proxy_header("PROXY ", ProxyProtocolMode::kV2).kind, Kind::kAbsent);
}

TEST(ProxyProtocol, ConsumesTheHeaderAlone) {
  const std::string line = "PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\n";
  const ProxyResult result = parse_proxy_header(line + "GET /", ProxyProtocolMode::kAuto);
  ASSERT_EQ(result.kind, Kind::kComplete);
  EXPECT_EQ(result.consumed_bytes, line.size());
  EXPECT_TRUE(result.header->has_addresses());
  EXPECT_EQ(result.header->client_address, "1.2.3.4");
  EXPECT_EQ(result.header->client_port, 9);
  EXPECT_EQ(result.header->proxy_address, "5.6.7.8");
  EXPECT_EQ(result.header->proxy_port, 10);
}

TEST(ProxyProtocol, AcceptsTheLongestLineAndNoLonger) {
  const std::string start = "PROXY UNKNOWN ";
  const std::string longest =
      start + std::string(kMaxProxyV1Bytes - start.size() - 2, 'x') + "\r\n";
  EXPECT_EQ(parse_proxy_header(longest, ProxyProtocolMode::kV1).kind, Kind::kComplete);
  for (std::size_t size = start.size(); size < longest.size(); ++size) {
    EXPECT_EQ(parse_proxy_header(longest.substr(0, size), ProxyProtocolMode::kV1).kind,
              Kind::kNeedMore);
  }
  const std::string endless = start + std::string(kMaxProxyV1Bytes, 'x');
  EXPECT_EQ(parse_proxy_header(endless, ProxyProtocolMode::kV1).kind, Kind::kError);
  EXPECT_EQ(
      parse_proxy_header(endless.substr(0, kMaxProxyV1Bytes - 1) + "\r", ProxyProtocolMode::kV1)
          .kind,
      Kind::kError);
}

}  // namespace
}  // namespace corn::http
