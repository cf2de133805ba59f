// SPDX-License-Identifier: Apache-2.0
// What the corpus can't show: positions, reuse, and the cost of scanning.
#include "workerd/http/head_scanner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace corn::http {
namespace {

using Kind = ScanResult::Kind;

TEST(HeadScanner, SaysWhereTheHeadStartsAndEnds) {
  const ParserOptions options;
  HeadScanner scanner(options);
  const std::string head = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  const ScanResult result = scanner.feed("\r\n" + head + "the body");
  ASSERT_EQ(result.kind, Kind::kComplete);
  EXPECT_EQ(result.skip_bytes, 2U);
  EXPECT_EQ(result.head_bytes, head.size());
}

TEST(HeadScanner, NeedsMoreUntilTheLastByteOfTheEmptyLine) {
  const ParserOptions options;
  HeadScanner scanner(options);
  const std::string head = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  for (std::size_t size = 0; size < head.size(); ++size) {
    EXPECT_EQ(scanner.feed(head.substr(0, size)).kind, Kind::kNeedMore) << size;
  }
  EXPECT_EQ(scanner.feed(head).kind, Kind::kComplete);
}

TEST(HeadScanner, GoesOnWhenTheBufferMoves) {
  const ParserOptions options;
  HeadScanner scanner(options);
  EXPECT_EQ(scanner.feed(std::string("GET / HTTP/1.1\r\nHo")).kind, Kind::kNeedMore);
  EXPECT_EQ(scanner.feed(std::string("GET / HTTP/1.1\r\nHost: a\r\n\r\n")).kind, Kind::kComplete);
}

TEST(HeadScanner, IsStartedByTheFirstByteOfTheRequestLine) {
  const ParserOptions options;
  HeadScanner scanner(options);
  EXPECT_FALSE(scanner.started());
  EXPECT_EQ(scanner.feed("\r\n").kind, Kind::kNeedMore);
  EXPECT_FALSE(scanner.started());
  EXPECT_EQ(scanner.feed("\r\nG").kind, Kind::kNeedMore);
  EXPECT_TRUE(scanner.started());
}

TEST(HeadScanner, IsAsNewAfterReset) {
  ParserOptions options;
  options.max_fields = 1;
  HeadScanner scanner(options);
  const std::string head = "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(scanner.feed(head).kind, Kind::kComplete);
    scanner.reset();
    EXPECT_FALSE(scanner.started());
  }
}

TEST(HeadScanner, RefusesBeforeTheLineEndsWhenItIsTooLong) {
  ParserOptions options;
  options.max_request_line = 32;
  HeadScanner scanner(options);
  EXPECT_EQ(scanner.feed("GET /" + std::string(27, 'a')).kind, Kind::kNeedMore);
  const ScanResult result = scanner.feed("GET /" + std::string(28, 'a'));
  ASSERT_EQ(result.kind, Kind::kError);
  EXPECT_EQ(result.error->status, 414);
}

TEST(HeadScanner, ShowsNamesButNoValuesOfFields) {
  const ParserOptions options;
  HeadScanner scanner(options);
  const ScanResult result = scanner.feed("GET / HTTP/1.1\r\nAuthorization: secret\x01\r\n");
  ASSERT_EQ(result.kind, Kind::kError);
  EXPECT_EQ(result.error->log_text(), "a control character in the request head: Authorization");
}

TEST(HeadScanner, BoundsTheHeadThatUnlimitedSettingsAllow) {
  base::WorkerConfig config;
  config.limit_request_line = 0;
  config.limit_request_fields = 0;
  config.limit_request_field_size = 0;
  const ParserOptions options = ParserOptions::from(config);
  HeadScanner scanner(options);
  std::string buffer = "GET / HTTP/1.1\r\n";
  ScanResult result;
  while (buffer.size() <= 2 * kMaxHeadBytes && result.kind == Kind::kNeedMore) {
    buffer += "X-Name: " + std::string(10000, 'a') + "\r\n";
    result = scanner.feed(buffer);
  }
  ASSERT_EQ(result.kind, Kind::kError);
  EXPECT_EQ(result.error->status, 431);
  EXPECT_LT(buffer.size(), kMaxHeadBytes + 20000);
}

}  // namespace
}  // namespace corn::http
