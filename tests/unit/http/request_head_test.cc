// SPDX-License-Identifier: Apache-2.0
// What the corpus can't show: reuse and lifetime of a RequestHead, and heads that no scanner has
// seen.
#include "workerd/http/request_head.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace corn::http {
namespace {

TEST(RequestHead, IsFilledAnewByEveryParse) {
  const ParserOptions options;
  RequestHead request;
  const std::string first =
      "POST /a?b HTTP/1.0\r\nHost: h\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n";
  ASSERT_FALSE(parse_head(first, options, request));
  const std::string second = "GET / HTTP/1.1\r\n\r\n";
  ASSERT_FALSE(parse_head(second, options, request));
  EXPECT_EQ(request.method, "GET");
  EXPECT_EQ(request.path, "/");
  EXPECT_EQ(request.query, "");
  EXPECT_EQ(request.host, "");
  EXPECT_FALSE(request.has_host);
  EXPECT_EQ(request.minor_version, 1);
  EXPECT_EQ(request.framing, BodyFraming::kNone);
  EXPECT_EQ(request.content_length, 0U);
  EXPECT_TRUE(request.fields.empty());
  EXPECT_TRUE(request.keep_alive);
}

TEST(RequestHead, KeepsTheCapacityOfItsVectors) {
  const ParserOptions options;
  RequestHead request;
  const std::string head = "GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n";
  ASSERT_FALSE(parse_head(head, options, request));
  const Field* const storage = request.fields.data();
  ASSERT_FALSE(parse_head(head, options, request));
  EXPECT_EQ(request.fields.data(), storage);
}

TEST(RequestHead, StaysValidWhenMoved) {
  ParserOptions options;
  options.permit_obsolete_folding = true;
  options.permit_unconventional_method = true;
  options.casefold_method = true;
  const std::string head = "get / HTTP/1.1\r\nX: a\r\n b\r\n\r\n";
  RequestHead request;
  ASSERT_FALSE(parse_head(head, options, request));
  const RequestHead moved = std::move(request);
  EXPECT_EQ(moved.method, "GET");
  ASSERT_EQ(moved.fields.size(), 1U);
  EXPECT_EQ(moved.fields[0].value, "a b");
}

TEST(RequestHead, FindsFieldsWithoutRegardToCase) {
  const ParserOptions options;
  const std::string head = "GET / HTTP/1.1\r\nCookie: a\r\nACCEPT: b\r\naccept: c\r\n\r\n";
  RequestHead request;
  ASSERT_FALSE(parse_head(head, options, request));
  ASSERT_NE(request.find("Accept"), nullptr);
  EXPECT_EQ(request.find("Accept")->value, "b");
  EXPECT_EQ(request.find("Accep"), nullptr);
  EXPECT_EQ(request.find("Accepx"), nullptr);
}

TEST(RequestHead, KnowsMethodAndTargetOfARefusedRequestForTheAccessLog) {
  const ParserOptions options;
  RequestHead request;
  const std::string head = "GET /path HTTP/1.1\r\nContent-Length: x\r\n\r\n";
  ASSERT_TRUE(parse_head(head, options, request));
  EXPECT_EQ(request.method, "GET");
  EXPECT_EQ(request.target, "/path");
  const std::string no_request = "GET\r\n\r\n";
  ASSERT_TRUE(parse_head(no_request, options, request));
  EXPECT_EQ(request.method, "");
  EXPECT_EQ(request.target, "");
}

TEST(RequestHead, HasABodyOnlyWhenBytesOrChunksFollow) {
  RequestHead request;
  EXPECT_FALSE(request.has_body());
  request.framing = BodyFraming::kLength;
  EXPECT_FALSE(request.has_body());
  request.content_length = 1;
  EXPECT_TRUE(request.has_body());
  request.framing = BodyFraming::kChunked;
  EXPECT_TRUE(request.has_body());
}

// The scanner lets none of these through; the parser must not rely on it.
TEST(ParseHead, RefusesBytesThatAreNoWholeHead) {
  ParserOptions folding;
  folding.permit_obsolete_folding = true;
  RequestHead request;
  for (const std::string head :
       {"", "\r\n", "GET / HTTP/1.1", "GET / HTTP/1.1\r", "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost",
        "GET / HTTP/1.1\r\nHost:", "GET / HTTP/1.1\r\nHost: a\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\r", "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n b\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n b",
        "GET / HTTP/1.1\r\n\r\nmore", "GET / HTTP/1.1\r\n\nHost: a\r\n\r\n"}) {
    const auto error = parse_head(head, folding, request);
    ASSERT_TRUE(error) << head;
    EXPECT_EQ(error->status, 400) << head;
  }
  const ParserOptions strict;
  EXPECT_TRUE(parse_head("GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", strict, request));
}

TEST(ParseHead, DoesNotShowPasswordsOfATarget) {
  const ParserOptions options;
  RequestHead request;
  const auto error = parse_head("GET http://user:secret@h/ HTTP/1.1\r\n\r\n", options, request);
  ASSERT_TRUE(error);
  EXPECT_THAT(error->log_text(), testing::Not(testing::HasSubstr("secret")));
}

}  // namespace
}  // namespace corn::http
