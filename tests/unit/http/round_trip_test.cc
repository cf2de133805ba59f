// SPDX-License-Identifier: Apache-2.0
// What the encoder writes, a reader of RFC 9112 section 6.3 reads back: status, fields, body and
// end, the next response starting right behind. The reader here is written for the test, from the
// client's rules; only chunked bodies go through the room's own decoder.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "workerd/http/body_decoder.h"
#include "workerd/http/chars.h"
#include "workerd/http/response_encoder.h"

namespace corn::http {
namespace {

struct ReadResponse {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> fields;
  std::string body;
  bool until_close = false;
};

std::optional<std::string> value_of(const ReadResponse& response, std::string_view lower_name) {
  for (const auto& [name, value] : response.fields) {
    if (equals_lower(name, lower_name)) return value;
  }
  return std::nullopt;
}

// Reads one response off the front of `bytes`.
ReadResponse read_response(std::string_view& bytes, bool head_method) {
  ReadResponse response;
  const auto next_line = [&bytes] {
    const std::size_t end = bytes.find("\r\n");
    EXPECT_NE(end, std::string_view::npos);
    const std::string_view line = bytes.substr(0, end);
    bytes.remove_prefix(end + 2);
    return line;
  };
  const std::string_view status_line = next_line();
  EXPECT_TRUE(status_line.starts_with("HTTP/1.1 "));
  std::from_chars(status_line.data() + 9, status_line.data() + 12, response.status);
  for (std::string_view line = next_line(); !line.empty(); line = next_line()) {
    const std::size_t colon = line.find(": ");
    EXPECT_NE(colon, std::string_view::npos) << line;
    response.fields.emplace_back(line.substr(0, colon), line.substr(colon + 2));
  }
  const int status = response.status;
  if (head_method || status < 200 || status == 204 || status == 304) return response;
  if (value_of(response, "transfer-encoding") == "chunked") {
    EXPECT_FALSE(value_of(response, "content-length"));
    const ParserOptions options;
    BodyDecoder decoder;
    decoder.begin(BodyFraming::kChunked, 0, options);
    std::string_view data;
    for (;;) {
      const DecodeResult result = decoder.decode(bytes, data);
      bytes.remove_prefix(result.consumed);
      response.body += data;
      if (result.status == DecodeStatus::kData) continue;
      EXPECT_EQ(result.status, DecodeStatus::kComplete);
      return response;
    }
  }
  if (const auto length = value_of(response, "content-length")) {
    response.body = bytes.substr(0, std::stoul(*length));
    bytes.remove_prefix(response.body.size());
    return response;
  }
  response.until_close = true;
  response.body = bytes;
  bytes = {};
  return response;
}

TEST(RoundTrip, WhatTheEncoderWritesAReaderReads) {
  std::mt19937 random(7);
  const std::vector<std::string> statuses = {
      "200 OK", "204 No Content", "205 Reset Content", "304 Not Modified", "404 Not Found", "500 x",
      "299"};
  for (int round = 0; round < 5000; ++round) {
    const ResponseContext context{.head_method = random() % 5 == 0,
                                  .http_1_1 = random() % 4 != 0,
                                  .keep_alive = random() % 4 != 0};
    const std::string& status = statuses[random() % statuses.size()];
    std::vector<std::string> pieces(random() % 4);
    std::string body;
    for (std::string& piece : pieces) {
      piece.assign(random() % 40, static_cast<char>('a' + random() % 26));
      body += piece;
    }
    const std::string length = std::to_string(body.size());
    std::vector<Field> fields = {{"X-First", "1"}, {"X-Repeated", "a"}, {"X-Repeated", "b"}};
    if (random() % 3 == 0) fields.push_back({"Content-Length", length});
    if (random() % 5 == 0) fields.push_back({"Transfer-Encoding", "chunked"});
    std::optional<std::uint64_t> size;
    if (random() % 3 == 0) size = body.size();

    ResponseEncoder encoder(context);
    std::string out;
    ASSERT_TRUE(encoder.start({status, fields}, size, "now", out));
    for (const std::string& piece : pieces) encoder.append(piece, out);
    ASSERT_TRUE(encoder.finish(out));
    const std::string next = "HTTP/1.1 200 next\r\nContent-Length: 0\r\n\r\n";
    if (encoder.keep_alive()) out += next;

    std::string_view rest = out;
    const ReadResponse read = read_response(rest, context.head_method);
    EXPECT_EQ(read.status, std::stoi(status));
    EXPECT_EQ(value_of(read, "x-first"), "1");
    EXPECT_EQ(std::count_if(read.fields.begin(), read.fields.end(),
                            [](const auto& field) { return field.first == "X-Repeated"; }),
              2);
    const bool no_body =
        context.head_method || read.status == 204 || read.status == 205 || read.status == 304;
    EXPECT_EQ(read.body, no_body ? "" : body);
    EXPECT_EQ(encoder.keep_alive(), rest == next) << out;
    EXPECT_EQ(value_of(read, "connection") == "close", !encoder.keep_alive());
    if (read.until_close) {
      EXPECT_FALSE(encoder.keep_alive());
    }
    if (context.keep_alive && context.http_1_1) {
      EXPECT_TRUE(encoder.keep_alive());
    }
    if (!context.http_1_1) {
      EXPECT_FALSE(value_of(read, "transfer-encoding"));
    }
  }
}

// `body` in chunks of random sizes, with what RFC 9112 section 7.1 allows beside the data.
std::string in_chunks(std::string_view body, std::mt19937& random) {
  const std::vector<std::string> extensions = {"", "", ";a", ";a=b", ";a=\"\\\";\""};
  std::string bytes;
  while (!body.empty()) {
    const std::size_t size = 1 + random() % body.size();
    const std::string digits =
        random() % 2 == 0 ? fmt::format("{:x}", size) : fmt::format("{:X}", size);
    bytes += std::string(random() % 3, '0') + digits + extensions[random() % extensions.size()];
    bytes += "\r\n";
    bytes += body.substr(0, size);
    bytes += "\r\n";
    body.remove_prefix(size);
  }
  bytes += "0\r\n";
  if (random() % 2 == 0) bytes += "X-Checksum: 1\r\n";
  return bytes + "\r\n";
}

TEST(RoundTrip, ABodySentInAnyChunksIsReadBackFromAnyPieces) {
  std::mt19937 random(11);
  const ParserOptions options;
  for (int round = 0; round < 2000; ++round) {
    std::string body(random() % 300, '\0');
    for (char& c : body) c = static_cast<char>(random());
    const std::string next = "GET / HTTP/1.1\r\n";
    const std::string bytes = in_chunks(body, random) + next;
    BodyDecoder decoder;
    decoder.begin(BodyFraming::kChunked, 0, options);
    std::string read;
    std::string_view rest = bytes;
    while (!decoder.complete()) {
      std::string_view piece = rest.substr(0, 1 + random() % 40);
      std::string_view data;
      const DecodeResult result = decoder.decode(piece, data);
      ASSERT_NE(result.status, DecodeStatus::kError) << round;
      ASSERT_TRUE(result.consumed > 0 || !data.empty() || result.status == DecodeStatus::kComplete);
      read += data;
      rest.remove_prefix(result.consumed);
    }
    EXPECT_EQ(read, body);
    EXPECT_EQ(rest, next);
  }
}

}  // namespace
}  // namespace corn::http
