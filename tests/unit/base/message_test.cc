// SPDX-License-Identifier: Apache-2.0
#include "base/message.h"

#include <gtest/gtest.h>

#include <random>

namespace corn::base {
namespace {

WorkerConfig unusual_config() {
  WorkerConfig config;
  config.role = WorkerRole::kConfigHost;
  config.application = "shop.wsgi:make_app()";
  config.threads = 7;
  config.timeout = Milliseconds(2500);
  config.python_path = {"/srv/a", "", "/srv/b"};
  config.header_map = HeaderMap::kRefuse;
  config.listeners = {{"http://127.0.0.1:8000", "127.0.0.1", 8000, false},
                      {"unix:/run/a.sock", "/run/a.sock", 0, true}};
  return config;
}

TEST(Message, ConfigureSurvivesEncodingWithEveryKindOfField) {
  const auto bytes = encode(Configure{unusual_config()});
  ASSERT_TRUE(bytes);
  const auto message = decode(*bytes);
  ASSERT_TRUE(message);
  const auto* configure = std::get_if<Configure>(&*message);
  ASSERT_NE(configure, nullptr);
  const WorkerConfig& config = configure->config;
  EXPECT_EQ(config.role, WorkerRole::kConfigHost);
  EXPECT_EQ(config.application, "shop.wsgi:make_app()");
  EXPECT_EQ(config.threads, 7U);
  EXPECT_EQ(config.timeout, Milliseconds(2500));
  EXPECT_EQ(config.python_path, (std::vector<std::string>{"/srv/a", "", "/srv/b"}));
  EXPECT_EQ(config.header_map, HeaderMap::kRefuse);
  ASSERT_EQ(config.listeners.size(), 2U);
  EXPECT_EQ(config.listeners[0].port, 8000);
  EXPECT_TRUE(config.listeners[1].unix_socket);
}

TEST(Message, EncodingTheDecodedGivesTheSameBytes) {
  const auto bytes = encode(Configure{unusual_config()});
  ASSERT_TRUE(bytes);
  const auto message = decode(*bytes);
  ASSERT_TRUE(message);
  EXPECT_EQ(*encode(*message), *bytes);
}

TEST(Message, UnknownTypeComesBackAsUnsupportedWithItsNumbers) {
  const std::string bytes("\x7b\x00\x01\x00rest", 8);
  const auto message = decode(bytes);
  ASSERT_TRUE(message);
  const auto* unsupported = std::get_if<Unsupported>(&*message);
  ASSERT_NE(unsupported, nullptr);
  EXPECT_EQ(unsupported->type, 0x7b);
  EXPECT_EQ(unsupported->version, 1);
}

TEST(Message, NewerVersionComesBackAsUnsupported) {
  std::string bytes = *encode(Ready{});
  bytes[2] = 2;
  const auto message = decode(bytes);
  ASSERT_TRUE(message);
  const auto* unsupported = std::get_if<Unsupported>(&*message);
  ASSERT_NE(unsupported, nullptr);
  EXPECT_EQ(unsupported->version, 2);
}

TEST(Message, EveryTruncationIsRefused) {
  const std::string bytes = *encode(Configure{unusual_config()});
  for (std::size_t size = 4; size < bytes.size(); ++size) {
    EXPECT_FALSE(decode(std::string_view(bytes).substr(0, size))) << size;
  }
}

TEST(Message, SurplusBytesAreRefused) { EXPECT_FALSE(decode(*encode(Ready{}) + "x")); }

TEST(Message, RandomBytesNeverCrashTheDecoder) {
  std::mt19937 random(7);
  for (int round = 0; round < 20000; ++round) {
    std::string bytes(random() % 64, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    if (bytes.size() >= 4) {
      bytes[0] = static_cast<char>(random() % 16);
      bytes[1] = 0;
      bytes[2] = 1;
      bytes[3] = 0;
    }
    const auto message = decode(bytes);
    if (message) {
      EXPECT_TRUE(encode(*message));
    }
  }
}

TEST(Message, OverTheLimitIsAnErrorNotATruncation) {
  EXPECT_FALSE(encode(BootFailed{BootFailure::kWorker, std::string(kMaxMessageBytes, 'x')}));
}

TEST(ShortenMiddle, KeepsBothEndsAndSaysHowMuchIsMissing) {
  const std::string text = "BEGIN" + std::string(1000, '.') + "END";
  const std::string cut = shorten_middle(text, 100);
  EXPECT_EQ(cut.size(), 100U);
  EXPECT_EQ(cut.substr(0, 5), "BEGIN");
  EXPECT_EQ(cut.substr(97), "END");
  EXPECT_NE(cut.find("908 bytes left out"), std::string::npos);
  EXPECT_EQ(shorten_middle("short", 100), "short");
}

}  // namespace
}  // namespace corn::base
