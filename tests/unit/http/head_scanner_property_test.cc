// SPDX-License-Identifier: Apache-2.0
// Random heads, good and spoilt: scanner and parser together must agree with themselves however the
// bytes are cut, and what is accepted must obey rules that are checked here in another way than the
// parser's.
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "tests/http_corpus/replay.h"

namespace corn::http {
namespace {

constexpr int kRounds = 3000;

class Generator {
 public:
  explicit Generator(unsigned seed) : random_(seed) {}

  std::size_t below(std::size_t limit) { return random_() % limit; }
  std::string_view pick(const std::vector<std::string_view>& choices) {
    return choices[below(choices.size())];
  }

  // A connection's worth of requests from parts that are mostly right.
  std::string connection() {
    std::string bytes;
    if (below(4) == 0) bytes += proxy_header();
    for (std::size_t i = 1 + below(3); i > 0; --i) bytes += request();
    for (std::size_t i = below(3); i > 0; --i) spoil(bytes);
    return bytes;
  }

 private:
  std::string proxy_header() {
    using namespace std::string_view_literals;
    return std::string(pick(
        {"PROXY TCP4 192.0.2.1 192.0.2.2 5000 80\r\n"sv, "PROXY TCP6 2001:db8::1 ::1 1 2\r\n"sv,
         "PROXY UNKNOWN\r\n"sv, "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"sv,
         "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\2\1\xc0\0\2\2\x13\x88\0\x50"sv}));
  }

  std::string request() {
    std::string bytes;
    bytes += pick({"", "", "", "\r\n"});
    bytes += pick({"GET", "POST", "OPTIONS", "CONNECT", "HEAD"});
    bytes += ' ';
    bytes += pick({"/", "/a?b", "*", "http://h/p", "h:80", "/x#y", "//z"});
    bytes += pick({" HTTP/1.1\r\n", " HTTP/1.1\r\n", " HTTP/1.0\r\n"});
    for (std::size_t i = below(5); i > 0; --i) {
      bytes += pick({"Host: a\r\n", "Accept: */*\r\n", "X-Empty:\r\n", "Connection: close\r\n",
                     "Connection: keep-alive\r\n", "Expect: 100-continue\r\n", "X_Y: z\r\n",
                     "Folded: a\r\n b\r\n"});
    }
    switch (below(4)) {
      case 0:
        bytes += "Content-Length: 3\r\n\r\nabc";
        break;
      case 1:
        bytes += "Transfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n1\r\nc\r\n0\r\nT: u\r\n\r\n";
        break;
      default:
        bytes += "\r\n";
        break;
    }
    return bytes;
  }

  void spoil(std::string& bytes) {
    const std::size_t at = below(bytes.size());
    switch (below(4)) {
      case 0:
        bytes[at] = static_cast<char>(random_());
        break;
      case 1:
        bytes.erase(at, 1 + below(3));
        break;
      case 2:
        bytes.insert(at, pick({"\r", "\n", "\r\n", " ", "\t", ":", ",", "\x7f", "0"}));
        break;
      default:
        bytes.resize(at + 1);
        break;
    }
  }

  std::mt19937 random_;
};

ReplayOptions options_for(Generator& generator) {
  ReplayOptions options;
  options.parser.permit_obsolete_folding = generator.below(2) == 0;
  options.parser.strip_header_spaces = generator.below(4) == 0;
  options.parser.max_fields = 3 + generator.below(3);
  options.parser.max_request_line = 16 + generator.below(30);
  options.parser.max_field_bytes = 20 + generator.below(20);
  options.parser.max_head_bytes = 40 + generator.below(200);
  if (generator.below(3) == 0) options.proxy = ProxyProtocolMode::kAuto;
  return options;
}

TEST(AnyConnection, GivesTheSameEventsHoweverItIsCut) {
  Generator generator(1);
  for (int round = 0; round < kRounds; ++round) {
    const ReplayOptions options = options_for(generator);
    const std::string bytes = generator.connection();
    Replay whole(options);
    whole.receive(bytes);
    Replay single(options);
    for (const char byte : bytes) single.receive({&byte, 1});
    ASSERT_EQ(single.events(), whole.events()) << escape_bytes(bytes);
    Replay pieces(options);
    for (std::string_view rest = bytes; !rest.empty();) {
      const std::size_t size = 1 + generator.below(std::min<std::size_t>(rest.size(), 12));
      pieces.receive(rest.substr(0, size));
      rest.remove_prefix(size);
    }
    ASSERT_EQ(pieces.events(), whole.events()) << escape_bytes(bytes);
  }
}

TEST(AnyHead, ThatIsAcceptedObeysTheGrammar) {
  Generator generator(2);
  const ParserOptions options;
  int accepted = 0;
  for (int round = 0; round < kRounds; ++round) {
    const std::string bytes = generator.connection();
    HeadScanner scanner(options);
    const ScanResult scan = scanner.feed(bytes);
    if (scan.kind != ScanResult::Kind::kComplete) continue;
    const std::string head = bytes.substr(scan.skip_bytes, scan.head_bytes);
    ASSERT_EQ(head.substr(head.size() - 4), "\r\n\r\n");
    RequestHead request;
    if (parse_head(head, options, request)) continue;
    ++accepted;
    EXPECT_EQ(std::count(head.begin(), head.end(), '\r'),
              std::count(head.begin(), head.end(), '\n'));
    EXPECT_EQ(request.target.find_first_of(" \t"), std::string_view::npos);
    int framing_fields = 0;
    int hosts = 0;
    for (const Field& field : request.fields) {
      EXPECT_FALSE(field.name.empty());
      EXPECT_EQ(field.name.find_first_of(" \t:_\r\n"), std::string_view::npos);
      EXPECT_EQ(field.value.find_first_of(std::string_view("\0\r\n", 3)), std::string_view::npos);
      std::string name(field.name);
      std::transform(name.begin(), name.end(), name.begin(),
                     [](unsigned char c) { return std::tolower(c); });
      framing_fields += name == "content-length" || name == "transfer-encoding" ? 1 : 0;
      hosts += name == "host" ? 1 : 0;
    }
    EXPECT_LE(framing_fields, 1);
    EXPECT_LE(hosts, 1);
    EXPECT_EQ(framing_fields == 1, request.framing != BodyFraming::kNone);
  }
  EXPECT_GT(accepted, kRounds / 10);
}

}  // namespace
}  // namespace corn::http
