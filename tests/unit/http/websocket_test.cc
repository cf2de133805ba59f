// SPDX-License-Identifier: Apache-2.0
#include "workerd/http/websocket.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "workerd/http/sha1.h"
#include "workerd/http/utf8.h"

namespace corn::http {
namespace {

using Kind = WebSocketEvent::Kind;
using namespace std::string_literals;
namespace code = websocket_code;

// A frame as a client sends it; `first`: FIN, reserved bits and opcode.
std::string frame(int first, std::string_view payload, std::string_view mask = "\x12\x34\x56\x78") {
  std::string bytes(1, static_cast<char>(first));
  const auto size = payload.size();
  if (size < 126) {
    bytes += static_cast<char>(0x80 | size);
  } else if (size <= 0xffff) {
    bytes += static_cast<char>(0x80 | 126);
    bytes += {static_cast<char>(size >> 8U), static_cast<char>(size & 0xffU)};
  } else {
    bytes += static_cast<char>(0x80 | 127);
    for (int shift = 56; shift >= 0; shift -= 8) bytes += static_cast<char>((size >> shift) & 0xff);
  }
  bytes += mask;
  for (std::size_t i = 0; i < size; ++i) bytes += static_cast<char>(payload[i] ^ mask[i % 4]);
  return bytes;
}

struct Outcome {
  std::vector<WebSocketEvent> events;
  std::optional<WebSocketError> error;
};

Outcome decode(std::string_view bytes, std::size_t piece = ~std::size_t{0},
               std::uint64_t most = 1U << 20U) {
  WebSocketDecoder decoder(most);
  Outcome outcome;
  while (!bytes.empty()) {
    std::string_view part = bytes.substr(0, piece);
    bytes.remove_prefix(part.size());
    while (auto event = decoder.next(part)) outcome.events.push_back(*std::move(event));
    if (decoder.error()) break;
  }
  outcome.error = decoder.error();
  return outcome;
}

std::uint16_t error_of(std::string_view bytes, std::uint64_t most = 1U << 20U) {
  const Outcome whole = decode(bytes, ~std::size_t{0}, most);
  const Outcome single = decode(bytes, 1, most);
  EXPECT_EQ(whole.error.has_value(), single.error.has_value());
  return whole.error ? whole.error->code : 0;
}

RequestHead parsed(const std::string& text) {
  RequestHead head;
  static std::vector<std::string> kept;  // what the views point into
  kept.reserve(1000);
  kept.push_back(text);
  EXPECT_FALSE(parse_head(kept.back(), ParserOptions(), head).has_value());
  return head;
}

std::string handshake(std::string_view changed = "", std::string_view to = "") {
  std::string text =
      "GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
      "Sec-WebSocket-Protocol: chat, superchat\r\n\r\n";
  if (const auto at = text.find(changed); !changed.empty() && at != std::string::npos) {
    text.replace(at, changed.size(), to);
  }
  return text;
}

TEST(Sha1, GivesTheDigestsOfTheStandard) {
  const auto hex = [](std::string_view text) {
    std::string out;
    for (const auto byte : sha1(text)) {
      constexpr char kDigits[] = "0123456789abcdef";
      out += {kDigits[byte >> 4U], kDigits[byte & 15U]};
    }
    return out;
  };
  EXPECT_EQ(hex(""), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
  EXPECT_EQ(hex("abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
  EXPECT_EQ(hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
  EXPECT_EQ(hex(std::string(1'000'000, 'a')), "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
}

TEST(Utf8, TakesWhatRfc3629AllowsAndNothingElse) {
  const auto valid = [](std::string_view text) {
    Utf8Validator whole;
    Utf8Validator single;
    bool one_by_one = true;
    for (const char c : text) one_by_one = one_by_one && single.feed({&c, 1});
    const bool result = whole.feed(text) && whole.complete();
    EXPECT_EQ(result, one_by_one && single.complete());
    return result;
  };
  for (const char* good : {"", "plain text that is longer than eight bytes", "\xc2\x80", "\xdf\xbf",
                           "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbf",
                           "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf", "12345678\xc3\xa4 12345678"}) {
    EXPECT_TRUE(valid(good)) << good;
  }
  for (const char* bad : {"\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80",
                          "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff",
                          "\xc3", "\xe2\x82", "12345678\xff", "\xc3 "}) {
    EXPECT_FALSE(valid(bad)) << bad;
  }
}

TEST(WebSocketHandshake, AnswersTheSampleOfTheStandard) {
  EXPECT_EQ(websocket_accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  const RequestHead head = parsed(handshake());
  EXPECT_TRUE(asks_for_websocket(head));
  EXPECT_FALSE(check_websocket_request(head));
  EXPECT_EQ(websocket_subprotocols(head), (std::vector<std::string_view>{"chat", "superchat"}));
  std::string out;
  const std::vector<Field> fields{{"X-One", "1"}};
  ASSERT_TRUE(append_websocket_response(head, "chat", fields, "today", out));
  EXPECT_EQ(
      out,
      "HTTP/1.1 101 Switching Protocols\r\nServer: corn\r\nDate: today\r\nUpgrade: websocket\r\n"
      "Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
      "Sec-WebSocket-Protocol: chat\r\nX-One: 1\r\n\r\n");
}

TEST(WebSocketHandshake, RefusesWhatIsNotAsTheStandardHasIt) {
  const auto status = [](std::string_view changed, std::string_view to) {
    const RequestHead head = parsed(handshake(changed, to));
    EXPECT_TRUE(asks_for_websocket(head));
    const auto problem = check_websocket_request(head);
    return problem ? problem->status : 0;
  };
  EXPECT_EQ(status("GET", "POST"), 400);
  EXPECT_EQ(status("Version: 13", "Version: 12"), 426);
  EXPECT_EQ(status("Sec-WebSocket-Version: 13\r\n", ""), 426);
  EXPECT_EQ(status("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), 400);
  EXPECT_EQ(status("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j"), 400);
  EXPECT_EQ(status("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZZ=="), 400);
  EXPECT_EQ(status("Host: a\r\n", "Host: a\r\nContent-Length: 3\r\n"), 400);
  EXPECT_EQ(status("Host: a\r\n", "Host: a\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"),
            400);
}

TEST(WebSocketHandshake, OtherUpgradesAreNotWebSockets) {
  EXPECT_FALSE(asks_for_websocket(parsed(handshake("Upgrade: websocket", "Upgrade: h2c"))));
  EXPECT_FALSE(asks_for_websocket(parsed(handshake("keep-alive, Upgrade", "keep-alive"))));
  EXPECT_TRUE(asks_for_websocket(parsed(handshake("Upgrade: websocket", "Upgrade: WebSocket"))));
}

TEST(WebSocketHandshake, FieldsOfTheHandshakeAreNotTheApplications) {
  const RequestHead head = parsed(handshake());
  std::string out;
  for (const char* name : {"Sec-WebSocket-Accept", "upgrade", "Connection", "Content-Length"}) {
    const std::vector<Field> fields{{name, "x"}};
    EXPECT_FALSE(append_websocket_response(head, "", fields, "today", out)) << name;
  }
  const std::vector<Field> evil{{"X", "a\r\nb"}};
  EXPECT_FALSE(append_websocket_response(head, "", evil, "today", out));
  EXPECT_FALSE(append_websocket_response(head, "a b", {}, "today", out));
  EXPECT_EQ(out, "");
}

TEST(WebSocketFrames, AreDecodedInPiecesOfAnySize) {
  const std::string bytes = frame(0x81, "Hello") + frame(0x82, std::string(300, '\0')) +
                            frame(0x82, std::string(70'000, 'x')) + frame(0x89, "ping") +
                            frame(0x8a, "") + frame(0x81, "") +
                            frame(0x88,
                                  "\x03\xe8"
                                  "bye");
  for (const std::size_t piece :
       {std::size_t{1}, std::size_t{3}, std::size_t{1000}, bytes.size()}) {
    const Outcome outcome = decode(bytes, piece);
    ASSERT_FALSE(outcome.error) << piece;
    ASSERT_EQ(outcome.events.size(), 7U);
    EXPECT_EQ(outcome.events[0].kind, Kind::kText);
    EXPECT_EQ(outcome.events[0].payload, "Hello");
    EXPECT_EQ(outcome.events[1].payload, std::string(300, '\0'));
    EXPECT_EQ(outcome.events[2].kind, Kind::kBinary);
    EXPECT_EQ(outcome.events[2].payload, std::string(70'000, 'x'));
    EXPECT_EQ(outcome.events[3].kind, Kind::kPing);
    EXPECT_EQ(outcome.events[3].payload, "ping");
    EXPECT_EQ(outcome.events[4].kind, Kind::kPong);
    EXPECT_EQ(outcome.events[5].payload, "");
    EXPECT_EQ(outcome.events[6].kind, Kind::kClose);
    EXPECT_EQ(outcome.events[6].code, 1000);
    EXPECT_EQ(outcome.events[6].payload, "bye");
  }
}

TEST(WebSocketFrames, FragmentsAreOneMessageAndControlFramesMayStandBetween) {
  const Outcome outcome =
      decode(frame(0x01, "a\xc3") + frame(0x89, "p") + frame(0x00, "\xa4") + frame(0x80, "b"));
  ASSERT_FALSE(outcome.error);
  ASSERT_EQ(outcome.events.size(), 2U);
  EXPECT_EQ(outcome.events[0].kind, Kind::kPing);
  EXPECT_EQ(outcome.events[1].kind, Kind::kText);
  EXPECT_EQ(outcome.events[1].payload,
            "a\xc3\xa4"
            "b");
}

TEST(WebSocketFrames, BreachesOfTheProtocolEndWith1002) {
  std::string unmasked = frame(0x81, "");
  unmasked[1] = 0;
  EXPECT_EQ(error_of(unmasked), code::kProtocolError);
  EXPECT_EQ(error_of(frame(0xc1, "x")), code::kProtocolError) << "reserved bit";
  EXPECT_EQ(error_of(frame(0x83, "x")), code::kProtocolError) << "unknown kind";
  EXPECT_EQ(error_of(frame(0x8b, "x")), code::kProtocolError) << "unknown control kind";
  EXPECT_EQ(error_of(frame(0x80, "x")), code::kProtocolError) << "nothing to continue";
  EXPECT_EQ(error_of(frame(0x01, "x") + frame(0x81, "y")), code::kProtocolError) << "within";
  EXPECT_EQ(error_of(frame(0x09, "x")), code::kProtocolError) << "fragmented control frame";
  EXPECT_EQ(error_of(frame(0x89, std::string(126, 'x'))), code::kProtocolError);
  EXPECT_EQ(error_of("\x81\xfe\x00\x05"s + "mask" + "12345"), code::kProtocolError) << "long form";
  EXPECT_EQ(error_of("\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00"s + "mask"), code::kProtocolError);
  EXPECT_EQ(error_of(frame(0x88, "x")), code::kProtocolError) << "half a code";
  for (const int bad : {0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000}) {
    const std::string payload{static_cast<char>(bad >> 8), static_cast<char>(bad & 0xff)};
    EXPECT_EQ(error_of(frame(0x88, payload)), code::kProtocolError) << bad;
  }
}

TEST(WebSocketFrames, TextThatIsNotUtf8EndsWith1007AtOnce) {
  EXPECT_EQ(error_of(frame(0x81, "\xff")), code::kInvalidData);
  EXPECT_EQ(error_of(frame(0x81, "\xc3")), code::kInvalidData);
  EXPECT_EQ(error_of(frame(0x01, "\xc3") + frame(0x80, "x")), code::kInvalidData);
  EXPECT_EQ(error_of(frame(0x88, "\x03\xe8\xff")), code::kInvalidData);
  EXPECT_EQ(error_of(frame(0x82, "\xff")), 0) << "binary may be anything";
  const std::string begun = frame(0x01, std::string(1000, '\xff')).substr(0, 20);
  EXPECT_EQ(error_of(begun), code::kInvalidData) << "before the frame is whole";
}

TEST(WebSocketFrames, MessagesOverTheLimitEndWith1009BeforeTheyCome) {
  EXPECT_EQ(error_of(frame(0x82, std::string(100, 'x')), 100), 0);
  EXPECT_EQ(error_of(frame(0x82, std::string(101, 'x')), 100), code::kTooBig);
  EXPECT_EQ(error_of("\x82\xff\x00\x00\x00\x7f\x00\x00\x00\x00"s + "mask", 100), code::kTooBig);
  EXPECT_EQ(error_of(frame(0x02, std::string(60, 'x')) + frame(0x80, std::string(41, 'x')), 100),
            code::kTooBig);
}

TEST(WebSocketFrames, NothingIsTakenAfterTheEnd) {
  const Outcome outcome = decode(frame(0x88, "") + frame(0x81, "late"));
  ASSERT_EQ(outcome.events.size(), 1U);
  EXPECT_EQ(outcome.events[0].code, code::kNoStatus);
}

TEST(WebSocketFrames, AreEncodedInTheirShortestForm) {
  const auto head = [](std::size_t size) {
    std::string out;
    append_websocket_frame(WebSocketOpcode::kBinary, std::string(size, 'x'), out);
    return out.substr(0, out.size() - size);
  };
  EXPECT_EQ(head(0), "\x82\x00"s);
  EXPECT_EQ(head(125), "\x82\x7d"s);
  EXPECT_EQ(head(126), "\x82\x7e\x00\x7e"s);
  EXPECT_EQ(head(65'535), "\x82\x7e\xff\xff"s);
  EXPECT_EQ(head(65'536), "\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"s);
}

TEST(WebSocketFrames, CloseReasonsAreCutBetweenCharacters) {
  std::string out;
  append_websocket_close(1000, "", out);
  EXPECT_EQ(out, "\x88\x02\x03\xe8");
  out.clear();
  append_websocket_close(code::kNoStatus, "ignored", out);
  EXPECT_EQ(out, "\x88\x00"s);
  out.clear();
  append_websocket_close(1000, std::string(122, 'x') + "\xc3\xa4", out);
  EXPECT_EQ(out.size(), 4U + 122U);
}

}  // namespace
}  // namespace corn::http
