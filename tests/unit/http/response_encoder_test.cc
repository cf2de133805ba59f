// SPDX-License-Identifier: Apache-2.0
#include "workerd/http/response_encoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

namespace corn::http {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr std::string_view kDate = "Sun, 06 Nov 1994 08:49:37 GMT";
constexpr ResponseContext kHttp11{.head_method = false, .http_1_1 = true, .keep_alive = true};
constexpr ResponseContext kHttp10{.head_method = false, .http_1_1 = false, .keep_alive = true};
constexpr ResponseContext kHead{.head_method = true, .http_1_1 = true, .keep_alive = true};

// One response of the encoder under test and what it wrote.
struct Encoded {
  explicit Encoded(const ResponseContext& context) : encoder(context) {}

  base::Status start(std::string_view status_line, const std::vector<Field>& fields,
                     std::optional<std::uint64_t> body_size = std::nullopt) {
    return encoder.start({status_line, fields}, body_size, kDate, out);
  }
  [[nodiscard]] std::string head() const { return out.substr(0, out.find("\r\n\r\n") + 4); }
  [[nodiscard]] std::string body() const { return out.substr(out.find("\r\n\r\n") + 4); }

  ResponseEncoder encoder;
  std::string out;
};

Encoded encode(const ResponseContext& context, std::string_view status_line,
               const std::vector<Field>& fields, std::optional<std::uint64_t> body_size,
               const std::vector<std::string>& pieces) {
  Encoded encoded(context);
  EXPECT_TRUE(encoded.start(status_line, fields, body_size));
  for (const std::string& piece : pieces) encoded.encoder.append(piece, encoded.out);
  EXPECT_TRUE(encoded.encoder.finish(encoded.out));
  return encoded;
}

TEST(ResponseEncoder, WritesHeadAndBodyIntoOneBuffer) {
  const Encoded encoded = encode(kHttp11, "200 OK", {{"Content-Type", "text/plain"}}, 5, {"hello"});
  EXPECT_EQ(encoded.out,
            "HTTP/1.1 200 OK\r\nServer: corn\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
            "Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello");
  EXPECT_TRUE(encoded.encoder.keep_alive());
  EXPECT_EQ(encoded.encoder.body_bytes(), 5U);
  EXPECT_EQ(encoded.encoder.status(), 200);
  EXPECT_TRUE(encoded.encoder.started());
  EXPECT_TRUE(encoded.encoder.finished());
}

TEST(ResponseEncoder, AppendsToWhatIsThere) {
  Encoded encoded(kHttp11);
  encoded.out = std::string(kContinueResponse);
  ASSERT_TRUE(encoded.start("200 OK", {}, 0));
  EXPECT_TRUE(encoded.out.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"));
}

TEST(ResponseEncoder, SendsNoBodyForHeadButKeepsContentLength) {
  const Encoded encoded =
      encode(kHead, "200 OK", {{"Content-Length", "10"}}, std::nullopt, {"0123456789"});
  EXPECT_THAT(encoded.head(), HasSubstr("Content-Length: 10\r\n"));
  EXPECT_EQ(encoded.body(), "");
  EXPECT_EQ(encoded.encoder.dropped_bytes(), 10U);
  EXPECT_EQ(encoded.encoder.framing(), ResponseFraming::kNoBody);
  EXPECT_EQ(encoded.encoder.remaining(), std::nullopt);
  EXPECT_TRUE(encoded.encoder.keep_alive());
}

TEST(ResponseEncoder, AnnouncesForHeadTheSizeOfAKnownBody) {
  EXPECT_THAT(encode(kHead, "200 OK", {}, 5, {"hello"}).out, HasSubstr("Content-Length: 5\r\n"));
}

TEST(ResponseEncoder, DoesNotTakeAnEmptyAnswerToHeadForAnEmptyBody) {
  EXPECT_THAT(encode(kHead, "200 OK", {}, 0, {}).out, Not(HasSubstr("Content-Length")));
  EXPECT_THAT(encode(kHead, "200 OK", {}, std::nullopt, {}).out,
              Not(HasSubstr("Transfer-Encoding")));
}

TEST(ResponseEncoder, SendsNeitherBodyNorLengthWith204And101) {
  for (const std::string_view status : {"204 No Content", "101 Switching Protocols"}) {
    const Encoded encoded = encode(
        kHttp11, status, {{"Content-Length", "3"}, {"Transfer-Encoding", "chunked"}}, 3, {"abc"});
    EXPECT_THAT(encoded.head(), Not(HasSubstr("Content-Length")));
    EXPECT_THAT(encoded.head(), Not(HasSubstr("Transfer-Encoding")));
    EXPECT_EQ(encoded.body(), "");
  }
}

TEST(ResponseEncoder, RefusesAnInterimStatusThatIsMeantAsFinal) {
  for (const std::string_view status : {"100 Continue", "102 Processing", "150 x", "199 Odd"}) {
    Encoded encoded(kHttp11);
    const base::Status refused = encoded.start(status, {}, 0);
    ASSERT_FALSE(refused) << status;
    EXPECT_THAT(refused.error().message, HasSubstr("which is interim"));
    EXPECT_FALSE(check_response_head({status, {}}));
    EXPECT_EQ(encoded.out, "");
  }
}

TEST(ResponseEncoder, ClosesAfterSwitchingProtocols) {
  const Encoded encoded = encode(kHttp11, "101 Switching Protocols", {}, std::nullopt, {});
  EXPECT_FALSE(encoded.encoder.keep_alive());
  EXPECT_THAT(encoded.head(), HasSubstr("Connection: close\r\n"));
}

TEST(ResponseEncoder, Keeps304sContentLengthWithoutBody) {
  const Encoded with =
      encode(kHttp11, "304 Not Modified", {{"Content-Length", "9"}}, std::nullopt, {"x"});
  EXPECT_THAT(with.head(), HasSubstr("Content-Length: 9\r\n"));
  EXPECT_EQ(with.body(), "");
  const Encoded without = encode(kHttp11, "304 Not Modified", {}, 0, {});
  EXPECT_THAT(without.head(), Not(HasSubstr("Content-Length")));
  EXPECT_TRUE(without.encoder.keep_alive());
}

TEST(ResponseEncoder, SaysThat205HasAnEmptyBody) {
  const Encoded encoded =
      encode(kHttp11, "205 Reset Content", {{"Content-Length", "9"}}, std::nullopt, {"x"});
  EXPECT_THAT(encoded.head(), HasSubstr("Content-Length: 0\r\n"));
  EXPECT_EQ(encoded.body(), "");
}

TEST(ResponseEncoder, ChunksABodyOfUnknownLength) {
  const Encoded encoded =
      encode(kHttp11, "200 OK", {}, std::nullopt, {"hello", "", std::string(26, 'x')});
  EXPECT_THAT(encoded.head(), HasSubstr("Transfer-Encoding: chunked\r\n"));
  EXPECT_EQ(encoded.body(), "5\r\nhello\r\n1a\r\n" + std::string(26, 'x') + "\r\n0\r\n\r\n");
  EXPECT_EQ(encoded.encoder.framing(), ResponseFraming::kChunked);
  EXPECT_EQ(encoded.encoder.body_bytes(), 31U);
}

TEST(ResponseEncoder, HonoursTheApplicationsChunkedWithoutDoublingIt) {
  const Encoded encoded = encode(
      kHttp11, "200 OK", {{"Transfer-Encoding", "Chunked"}, {"Content-Length", "2"}}, 2, {"ab"});
  EXPECT_THAT(encoded.head(), HasSubstr("Transfer-Encoding: chunked\r\n"));
  EXPECT_THAT(encoded.head(), Not(HasSubstr("Chunked")));
  EXPECT_THAT(encoded.head(), Not(HasSubstr("Content-Length")));
  EXPECT_EQ(encoded.body(), "2\r\nab\r\n0\r\n\r\n");
}

TEST(ResponseEncoder, DoesNotChunkForHttp10) {
  const Encoded encoded =
      encode(kHttp10, "200 OK", {{"Transfer-Encoding", "chunked"}}, std::nullopt, {"ab", "cd"});
  EXPECT_THAT(encoded.head(), Not(HasSubstr("Transfer-Encoding")));
  EXPECT_THAT(encoded.head(), HasSubstr("Connection: close\r\n"));
  EXPECT_EQ(encoded.body(), "abcd");
  EXPECT_EQ(encoded.encoder.framing(), ResponseFraming::kUntilClose);
  EXPECT_FALSE(encoded.encoder.keep_alive());
}

TEST(ResponseEncoder, KeepsAnHttp10ConnectionWhenTheLengthIsKnown) {
  const Encoded encoded = encode(kHttp10, "200 OK", {}, 2, {"ab"});
  EXPECT_THAT(encoded.head(), HasSubstr("Connection: keep-alive\r\n"));
  EXPECT_TRUE(encoded.encoder.keep_alive());
}

TEST(ResponseEncoder, SaysNothingOfConnectionsThatHttp11Keeps) {
  EXPECT_THAT(encode(kHttp11, "200 OK", {}, 2, {"ab"}).head(), Not(HasSubstr("Connection")));
}

TEST(ResponseEncoder, AnnouncesTheEndOfTheConnection) {
  const ResponseContext closing{.keep_alive = false};
  const Encoded encoded = encode(closing, "200 OK", {}, 2, {"ab"});
  EXPECT_THAT(encoded.head(), HasSubstr("Connection: close\r\n"));
  EXPECT_FALSE(encoded.encoder.keep_alive());
}

TEST(ResponseEncoder, CutsOffWhatExceedsContentLength) {
  Encoded encoded(kHttp11);
  ASSERT_TRUE(encoded.start("200 OK", {{"Content-Length", " 5 "}}));
  EXPECT_EQ(encoded.encoder.remaining(), 5U);
  encoded.encoder.append("hel", encoded.out);
  EXPECT_EQ(encoded.encoder.remaining(), 2U);
  encoded.encoder.append("lo world", encoded.out);
  encoded.encoder.append("!", encoded.out);
  EXPECT_TRUE(encoded.encoder.finish(encoded.out));
  EXPECT_EQ(encoded.body(), "hello");
  EXPECT_EQ(encoded.encoder.dropped_bytes(), 7U);
  EXPECT_TRUE(encoded.encoder.keep_alive());
}

TEST(ResponseEncoder, ClosesWhenContentLengthIsNotReached) {
  Encoded encoded(kHttp11);
  ASSERT_TRUE(encoded.start("200 OK", {{"Content-Length", "10"}}));
  encoded.encoder.append("hello", encoded.out);
  const base::Status finished = encoded.encoder.finish(encoded.out);
  ASSERT_FALSE(finished);
  EXPECT_EQ(finished.error().message,
            "the response ended after 5 of the 10 bytes that its Content-Length states");
  EXPECT_FALSE(encoded.encoder.keep_alive());
}

TEST(ResponseEncoder, FramesWhatTheCallerSendsItself) {
  Encoded chunked(kHttp11);
  ASSERT_TRUE(chunked.start("200 OK", {}));
  chunked.out.clear();
  EXPECT_EQ(chunked.encoder.open_frame(4096, chunked.out), 4096U);
  EXPECT_EQ(chunked.out, "1000\r\n");
  chunked.encoder.close_frame(chunked.out);
  EXPECT_EQ(chunked.out, "1000\r\n\r\n");

  Encoded limited(kHttp11);
  ASSERT_TRUE(limited.start("200 OK", {{"Content-Length", "10"}}));
  limited.out.clear();
  EXPECT_EQ(limited.encoder.open_frame(7, limited.out), 7U);
  limited.encoder.close_frame(limited.out);
  EXPECT_EQ(limited.encoder.open_frame(7, limited.out), 3U);
  limited.encoder.close_frame(limited.out);
  EXPECT_EQ(limited.encoder.open_frame(7, limited.out), 0U);
  EXPECT_EQ(limited.out, "");
  EXPECT_TRUE(limited.encoder.finish(limited.out));
}

TEST(ResponseEncoder, DropsHopByHopFieldsAndKeepsRepeatedOnes) {
  const Encoded encoded = encode(kHttp11, "200 OK",
                                 {{"Connection", "x"},
                                  {"Keep-Alive", "timeout=5"},
                                  {"Proxy-Authenticate", "Basic"},
                                  {"Proxy-Authorization", "Basic"},
                                  {"TE", "trailers"},
                                  {"Trailer", "X"},
                                  {"Trailers", "X"},
                                  {"Transfer-Encoding", "identity"},
                                  {"Upgrade", "websocket"},
                                  {"Set-Cookie", "a=1"},
                                  {"set-cookie", "b=2"}},
                                 0, {});
  EXPECT_EQ(encoded.out,
            "HTTP/1.1 200 OK\r\nServer: corn\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
            "Set-Cookie: a=1\r\nset-cookie: b=2\r\nContent-Length: 0\r\n\r\n");
}

// Names as long as the special ones, which a look-up by length must not confuse with them.
TEST(ResponseEncoder, KeepsOrdinaryFieldsWhateverTheirLength) {
  for (const std::string_view name :
       {"T", "TX", "X-A", "Etag", "Allow", "Accept", "Refresh", "Location", "X-Request",
        "Set-Cookie", "Retry-After", "Content-Type", "Cache-Control", "Accept-Ranges!",
        "X-Frame-Options", "X-Frame-Options12", "X-Frame-Options123", "X-Frame-Options1234"}) {
    EXPECT_THAT(encode(kHttp11, "200 OK", {{name, "v"}}, 0, {}).head(),
                HasSubstr("\r\n" + std::string(name) + ": v\r\n"));
  }
}

TEST(ResponseEncoder, ObeysTheApplicationsConnectionClose) {
  const Encoded encoded = encode(kHttp11, "200 OK", {{"Connection", "foo, Close"}}, 0, {});
  EXPECT_FALSE(encoded.encoder.keep_alive());
  EXPECT_THAT(encoded.head(), HasSubstr("Connection: close\r\n"));
  EXPECT_THAT(encoded.head(), Not(HasSubstr("foo")));
}

TEST(ResponseEncoder, KeepsTheApplicationsServerAndDate) {
  const Encoded encoded = encode(kHttp11, "200 OK", {{"server", "mine"}, {"DATE", "now"}}, 0, {});
  EXPECT_EQ(encoded.out,
            "HTTP/1.1 200 OK\r\nserver: mine\r\nDATE: now\r\nContent-Length: 0\r\n\r\n");
}

TEST(ResponseEncoder, AcceptsAStatusWithoutPhrase) {
  EXPECT_TRUE(encode(kHttp11, "299", {}, 0, {}).out.starts_with("HTTP/1.1 299 \r\n"));
  EXPECT_TRUE(encode(kHttp11, "299 ", {}, 0, {}).out.starts_with("HTTP/1.1 299 \r\n"));
}

TEST(ResponseEncoder, TrimsValues) {
  EXPECT_THAT(encode(kHttp11, "200 OK", {{"X", " \ta b\t "}}, 0, {}).out,
              HasSubstr("\r\nX: a b\r\n"));
}

// Nothing reaches the wire when the application's head is malformed, and another head can be sent
// instead.
class MalformedHead : public testing::TestWithParam<std::pair<std::string, std::vector<Field>>> {};

TEST_P(MalformedHead, IsRefusedWithoutATrace) {
  const auto& [status_line, fields] = GetParam();
  EXPECT_FALSE(check_response_head({status_line, fields}));
  Encoded encoded(kHttp11);
  EXPECT_FALSE(encoded.start(status_line, fields, 0));
  EXPECT_EQ(encoded.out, "");
  EXPECT_FALSE(encoded.encoder.started());
  ASSERT_TRUE(encoded.start("500 Internal Server Error", {}, 0));
  EXPECT_EQ(encoded.encoder.status(), 500);
}

using namespace std::string_view_literals;

INSTANTIATE_TEST_SUITE_P(
    Heads, MalformedHead,
    testing::Values(
        std::pair("200 OK\r\nX: y", std::vector<Field>{}),
        std::pair("200 OK\n", std::vector<Field>{}),
        std::pair(std::string("200 O\0K", 7), std::vector<Field>{}),
        std::pair("", std::vector<Field>{}), std::pair("20", std::vector<Field>{}),
        std::pair("20x OK", std::vector<Field>{}), std::pair("099 No", std::vector<Field>{}),
        std::pair("2000 OK", std::vector<Field>{}), std::pair("200-OK", std::vector<Field>{}),
        std::pair("200 OK", std::vector<Field>{{"X", "a\r\nSet-Cookie: b"}}),
        std::pair("200 OK", std::vector<Field>{{"X", "a\n"}}),
        std::pair("200 OK", std::vector<Field>{{"X", "a\rb"}}),
        std::pair("200 OK", std::vector<Field>{{"X", "a\0b"sv}}),
        std::pair("200 OK", std::vector<Field>{{"X", "a\x7f"}}),
        std::pair("200 OK", std::vector<Field>{{"X\r\nY", "a"}}),
        std::pair("200 OK", std::vector<Field>{{"X:", "a"}}),
        std::pair("200 OK", std::vector<Field>{{"X Y", "a"}}),
        std::pair("200 OK", std::vector<Field>{{"", "a"}}),
        std::pair("200 OK", std::vector<Field>{{"Content-Length", "five"}}),
        std::pair("200 OK", std::vector<Field>{{"Content-Length", "-5"}}),
        std::pair("200 OK", std::vector<Field>{{"Content-Length", ""}}),
        std::pair("200 OK", std::vector<Field>{{"Content-Length", "5"}, {"content-length", "5"}}),
        std::pair("200 OK", std::vector<Field>{{"Transfer-Encoding", "gzip"}}),
        std::pair("200 OK", std::vector<Field>{{"Transfer-Encoding", "gzip, chunked"}})));

TEST(ResponseEncoder, NamesTheBadFieldButNotItsValue) {
  const base::Status status =
      check_response_head({"200 OK", std::vector<Field>{{"X-Secret", "hidden\r\n"}}});
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().message,
            "the response's header 'X-Secret' has a control character (such as a line break) in "
            "its value");
}

TEST(CheckResponseHead, AcceptsWhatStartAccepts) {
  EXPECT_TRUE(check_response_head({"200 OK", std::vector<Field>{{"X", "\tobs\xff"}}}));
}

TEST(InterimResponse, HasNoFraming) {
  std::string out;
  const std::vector<Field> fields = {
      {"Link", "</a.css>; rel=preload"}, {"Content-Length", "5"}, {"Connection", "x"}};
  ASSERT_TRUE(append_interim_response({"103 Early Hints", fields}, out));
  EXPECT_EQ(out, "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n");
}

TEST(InterimResponse, IsRefusedWhenFinalOrMalformed) {
  std::string out;
  EXPECT_FALSE(append_interim_response({"200 OK", {}}, out));
  EXPECT_FALSE(append_interim_response({"101 Switching Protocols", {}}, out));
  EXPECT_FALSE(append_interim_response({"103 Early\r\nHints", {}}, out));
  EXPECT_EQ(out, "");
}

TEST(ResponseContext, ComesFromTheRequest) {
  RequestHead request;
  request.method = "HEAD";
  request.minor_version = 0;
  const ResponseContext context = ResponseContext::from(request, true);
  EXPECT_TRUE(context.head_method);
  EXPECT_FALSE(context.http_1_1);
  EXPECT_TRUE(context.keep_alive);
}

TEST(ResponseEncoderDeath, MustBeStartedOnceAndFinishedOnce) {
  ResponseEncoder encoder(kHttp11);
  std::string out;
  EXPECT_DEATH(encoder.append("x", out), "invariant");
  EXPECT_DEATH((void)encoder.finish(out), "invariant");
  ASSERT_TRUE(encoder.start({"200 OK", {}}, 0, kDate, out));
  EXPECT_DEATH((void)encoder.start({"200 OK", {}}, 0, kDate, out), "invariant");
}

}  // namespace
}  // namespace corn::http
