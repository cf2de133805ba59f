// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "workerd/http/chars.h"
#include "workerd/http/date.h"
#include "workerd/http/error.h"
#include "workerd/http/error_response.h"
#include "workerd/http/limits.h"
#include "workerd/http/percent.h"

namespace corn::http {
namespace {

std::string decoded(std::string_view raw) {
  std::string out = "what was there";
  percent_decode(raw, out);
  return out;
}

TEST(PercentDecode, TurnsEscapesOfEitherCaseIntoBytes) {
  EXPECT_EQ(decoded("/a%20b%2Fc%2fd"), "/a b/c/d");
  EXPECT_EQ(decoded("%C3%a9%00"), std::string("\xc3\xa9\0", 3));
}

TEST(PercentDecode, DecodesOnce) { EXPECT_EQ(decoded("%2541"), "%41"); }

TEST(PercentDecode, LeavesWhatIsNoEscape) {
  EXPECT_EQ(decoded("/plain+path"), "/plain+path");
  EXPECT_EQ(decoded("100%"), "100%");
  EXPECT_EQ(decoded("%4"), "%4");
  EXPECT_EQ(decoded("%zz%4g%41"), "%zz%4gA");
  EXPECT_EQ(decoded(""), "");
}

TEST(DateCache, WritesImfFixdate) {
  DateCache date;
  EXPECT_EQ(date.at(784111777), "Sun, 06 Nov 1994 08:49:37 GMT");  // RFC 9110 section 5.6.7
  EXPECT_EQ(date.at(0), "Thu, 01 Jan 1970 00:00:00 GMT");
  EXPECT_EQ(date.at(1709251199), "Thu, 29 Feb 2024 23:59:59 GMT");
  EXPECT_EQ(date.at(1709251200), "Fri, 01 Mar 2024 00:00:00 GMT");
  EXPECT_EQ(date.at(4102444799), "Thu, 31 Dec 2099 23:59:59 GMT");
}

TEST(DateCache, KeepsItsTextWithinASecond) {
  DateCache date;
  const std::string_view first = date.at(100);
  EXPECT_EQ(date.at(100).data(), first.data());
  EXPECT_EQ(date.at(100), "Thu, 01 Jan 1970 00:01:40 GMT");
}

TEST(ErrorResponse, IsSmallPlainAndCloses) {
  std::string out;
  append_error_response(protocol_error(400, "the Host field is malformed", "<script>"), false,
                        "DATE", out);
  EXPECT_EQ(
      out,
      "HTTP/1.1 400 Bad Request\r\nServer: corn\r\nDate: DATE\r\n"
      "Content-Type: text/plain; charset=utf-8\r\nContent-Length: 44\r\nConnection: close\r\n\r\n"
      "400 Bad Request\nthe Host field is malformed\n");
}

TEST(ErrorResponse, HasNoBodyForHead) {
  std::string out;
  append_error_response({503, ""}, true, "DATE", out);
  EXPECT_TRUE(out.ends_with("Content-Length: 24\r\nConnection: close\r\n\r\n"));
}

TEST(ProtocolError, ShowsItsExcerptInTheLogEscapedAndCut) {
  EXPECT_EQ(protocol_error(400, "reason").log_text(), "reason");
  EXPECT_EQ(protocol_error(400, "reason", "a\r\n\"\\\xff").log_text(),
            "reason: a\\x0d\\x0a\"\\x5c\\xff");
  EXPECT_EQ(protocol_error(400, "r", std::string(65, 'a')).excerpt, std::string(64, 'a') + "...");
}

TEST(ReasonPhrase, IsKnownForEveryStatusTheEngineSends) {
  for (const int status : {100, 101, 103, 200, 204, 206, 304, 400, 403, 404, 405, 408, 411,
                           413, 414, 417, 421, 429, 431, 500, 501, 502, 503, 504, 505}) {
    EXPECT_STRNE(reason_phrase(status), "Unknown") << status;
  }
  EXPECT_STREQ(reason_phrase(414), "URI Too Long");
  EXPECT_STREQ(reason_phrase(599), "Unknown");
}

TEST(ParserOptions, TakesLimitsFromTheSettingsUpToTheCeilings) {
  base::WorkerConfig config;
  config.limit_request_line = 100;
  config.limit_request_fields = 0;
  config.limit_request_field_size = 0xffffffff;
  config.permit_obsolete_folding = true;
  config.strip_header_spaces = true;
  config.permit_unconventional_http_method = true;
  config.permit_unconventional_http_version = true;
  config.casefold_http_method = true;
  config.header_map = base::HeaderMap::kRefuse;
  config.forwarder_headers = {"X_Y"};
  const ParserOptions options = ParserOptions::from(config);
  EXPECT_EQ(options.max_request_line, 100U);
  EXPECT_EQ(options.max_fields, kMaxFields);
  EXPECT_EQ(options.max_field_bytes, kMaxFieldBytes);
  EXPECT_EQ(options.max_head_bytes, kMaxHeadBytes);
  EXPECT_TRUE(options.permit_obsolete_folding);
  EXPECT_TRUE(options.strip_header_spaces);
  EXPECT_TRUE(options.permit_unconventional_method);
  EXPECT_TRUE(options.permit_unconventional_version);
  EXPECT_TRUE(options.casefold_method);
  EXPECT_EQ(options.header_map, base::HeaderMap::kRefuse);
  EXPECT_EQ(options.forwarder_headers, std::vector<std::string>{"X_Y"});
}

TEST(ParserOptions, DefaultsAreThoseOfTheSettings) {
  const ParserOptions from_settings = ParserOptions::from(base::WorkerConfig{});
  const ParserOptions defaults;
  EXPECT_EQ(from_settings.max_request_line, defaults.max_request_line);
  EXPECT_EQ(from_settings.max_fields, defaults.max_fields);
  EXPECT_EQ(from_settings.max_field_bytes, defaults.max_field_bytes);
  EXPECT_EQ(from_settings.max_head_bytes, defaults.max_head_bytes);
}

TEST(FindControl, FindsTheFirstOneAtEveryPosition) {
  for (std::size_t size = 1; size < 50; ++size) {
    for (std::size_t at = 0; at < size; ++at) {
      for (const char control : {'\r', '\n', '\0', '\x1f', '\x7f'}) {
        std::string text(size, '\t');
        text[at] = control;
        text.back() = '\x01';
        EXPECT_EQ(find_control(text, 0), at == size - 1 ? size - 1 : at);
        EXPECT_EQ(find_control(text, at), at);
      }
    }
  }
  EXPECT_EQ(find_control(std::string(100, '\xff') + " \t\x80", 3), 103U);
}

}  // namespace
}  // namespace corn::http
