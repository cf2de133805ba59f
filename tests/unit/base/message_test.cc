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

TEST(Message, WhatAForkedChildIsToldSurvivesEncoding) {
  Fork fork;
  fork.token = 9;
  fork.has_identity = true;
  fork.uid = 65534;
  fork.gid = 33;
  fork.groups = {33, 100};
  fork.has_umask = true;
  fork.umask = 027;
  fork.descriptor_limit = 4096;
  fork.environment = {"A=1", "B="};
  const auto bytes = encode(fork);
  ASSERT_TRUE(bytes);
  const auto message = decode(*bytes);
  ASSERT_TRUE(message);
  const auto* read = std::get_if<Fork>(&*message);
  ASSERT_NE(read, nullptr);
  EXPECT_EQ(read->token, 9U);
  EXPECT_TRUE(read->has_identity);
  EXPECT_EQ(read->uid, 65534U);
  EXPECT_EQ(read->gid, 33U);
  EXPECT_EQ(read->groups, (std::vector<std::uint32_t>{33, 100}));
  EXPECT_EQ(read->umask, 027U);
  EXPECT_EQ(read->descriptor_limit, 4096U);
  EXPECT_EQ(read->environment, (std::vector<std::string>{"A=1", "B="}));
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
