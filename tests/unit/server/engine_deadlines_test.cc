// SPDX-License-Identifier: Apache-2.0
// What a client may take its time for, and the worker's signs of life.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include "tests/unit/server/harness.h"

namespace corn::server::testing {
namespace {

using std::chrono::milliseconds;

class DeadlinesTest : public ::testing::TestWithParam<base::WorkerClass> {
 protected:
  base::WorkerConfig config_ = test_config(GetParam());
};

INSTANTIATE_TEST_SUITE_P(Classes, DeadlinesTest, kBothClasses, class_name);

TEST_P(DeadlinesTest, HeadThatIsLateIsAnswered408) {
  config_.header_timeout = milliseconds(100);
  TestServer server(config_);
  Client client(server.port());
  client.send("GET /hello HTT");
  EXPECT_EQ(client.read_response().status, 408);
  EXPECT_TRUE(client.closed_by_peer());
  EXPECT_EQ(server.scoreboard()->refused.load(), 1U);
}

TEST_P(DeadlinesTest, TricklingHeadDoesNotProlongItsTime) {
  config_.header_timeout = milliseconds(200);
  TestServer server(config_);
  Client client(server.port());
  client.send("GET /hello HTTP/1.1\r\n");
  const auto start = std::chrono::steady_clock::now();
  while (!client.readable(milliseconds(20))) client.send("A: b\r\n");
  EXPECT_EQ(client.read_response().status, 408);
  EXPECT_LT(std::chrono::steady_clock::now() - start, milliseconds(1500));
}

TEST_P(DeadlinesTest, ConnectionWithoutABytesIsClosedSilently) {
  config_.header_timeout = milliseconds(50);
  TestServer server(config_);
  Client client(server.port());
  EXPECT_TRUE(client.closed_by_peer());
  EXPECT_EQ(server.scoreboard()->refused.load(), 0U);
}

TEST_P(DeadlinesTest, IdleConnectionIsClosedAfterKeepAlive) {
  config_.keep_alive = milliseconds(100);
  TestServer server(config_);
  Client client(server.port());
  ASSERT_EQ(client.get("/hello").status, 200);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_TRUE(client.closed_by_peer());
  EXPECT_GE(std::chrono::steady_clock::now() - start, milliseconds(80));
}

TEST_P(DeadlinesTest, SecondHeadHasAHeaderTimeoutOfItsOwn) {
  config_.keep_alive = milliseconds(5000);
  config_.header_timeout = milliseconds(100);
  TestServer server(config_);
  Client client(server.port());
  ASSERT_EQ(client.get("/hello").status, 200);
  client.send("GET /hello");
  EXPECT_EQ(client.read_response().status, 408);
}

TEST_P(DeadlinesTest, ClientThatTakesNothingIsCutAfterTheTimeout) {
  config_.timeout = milliseconds(200);
  TestServer server(config_);
  Client client(server.port(), 4096);
  client.send(get_request("/pieces/150000000"));
  EXPECT_TRUE(eventually([&] { return server.application().failed_writes > 0; }));
  EXPECT_TRUE(eventually([&] { return server.scoreboard()->connections.load() == 0; }));
}

TEST_P(DeadlinesTest, RestOfAnAnswerNobodyTakesIsDroppedAfterTheTimeout) {
  config_.timeout = milliseconds(200);
  TestServer server(config_);
  Client client(server.port(), 4096);
  client.send(get_request("/file/9000000"));
  EXPECT_TRUE(eventually([&] { return server.scoreboard()->accepted.load() == 1; }));
  EXPECT_TRUE(eventually([&] { return server.scoreboard()->connections.load() == 0; }));
}

// The one test that has to last: the rate is averaged over ten seconds.
TEST_P(DeadlinesTest, BodyBelowTheLeastRateIsGivenUp) {
  TestServer server(config_);
  Client slow(server.port());
  Client quick(server.port());
  const std::string head = "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 100000\r\n\r\n";
  slow.send(head);
  if (GetParam() == base::WorkerClass::kThreads) quick.send(head);
  // 400 bytes a second are above the least rate of 256, 80 are not.
  while (!slow.readable(milliseconds(250))) {
    slow.send(std::string(20, 's'));
    quick.send(std::string(100, 'q'));
  }
  EXPECT_EQ(slow.read_response().status, 500);
  EXPECT_TRUE(slow.closed_by_peer());
  EXPECT_FALSE(quick.readable(milliseconds(0)));
  EXPECT_EQ(server.application().broken_bodies, 1);
}

TEST_P(DeadlinesTest, IdleWorkerBeatsAtLeastEveryHalfTimeout) {
  config_.timeout = milliseconds(2000);
  TestServer server(config_);
  const auto beat = [&] { return server.scoreboard()->beat.load(); };
  ASSERT_TRUE(eventually([&] { return beat() != 0; }));
  for (int i = 0; i < 2; ++i) {
    const std::uint64_t last = beat();
    ASSERT_TRUE(eventually([&] { return beat() != last; }));
    EXPECT_LT(beat() - last, 2'000'000'000U);
  }
}

TEST_P(DeadlinesTest, IdleWorkerMakesNoWakeUpsBesideItsBeat) {
  config_.timeout = milliseconds(600'000);
  TestServer server(config_);
  Client client(server.port());
  ASSERT_EQ(client.get("/hello").status, 200);
  client.close();
  ASSERT_TRUE(eventually([&] { return server.scoreboard()->connections.load() == 0; }));
  const std::uint64_t beat = server.scoreboard()->beat.load();
  std::this_thread::sleep_for(milliseconds(300));  // the time over which nothing may happen
  EXPECT_EQ(server.scoreboard()->beat.load(), beat);
}

TEST(SyncDeadlinesTest, HangingApplicationFallsSilent) {
  base::WorkerConfig config = test_config(base::WorkerClass::kSync);
  config.timeout = milliseconds(100);
  TestServer server(config);
  Client hanging(server.port());
  hanging.send(get_request("/hold"));
  ASSERT_TRUE(server.application().gate().wait_for(1));
  const std::uint64_t beat = server.scoreboard()->beat.load();
  Client other(server.port());
  std::this_thread::sleep_for(milliseconds(300));  // three time-outs without a sign
  EXPECT_EQ(server.scoreboard()->beat.load(), beat);
  server.application().gate().open();
  EXPECT_EQ(hanging.read_response().status, 200);
  EXPECT_TRUE(eventually([&] { return server.scoreboard()->beat.load() > beat; }));
}

TEST(SyncDeadlinesTest, WaitingForTheClientIsNotSilence) {
  base::WorkerConfig config = test_config(base::WorkerClass::kSync);
  config.timeout = milliseconds(2000);
  config.body_timeout = milliseconds(10'000);
  TestServer server(config);
  Client slow(server.port());
  slow.send("POST /echo HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
  ASSERT_EQ(slow.read_response().status, 100);
  for (int i = 0; i < 2; ++i) {
    const std::uint64_t last = server.scoreboard()->beat.load();
    ASSERT_TRUE(eventually([&] { return server.scoreboard()->beat.load() != last; }));
    EXPECT_LT(server.scoreboard()->beat.load() - last, 2'000'000'000U);
  }
  slow.send("hello");
  EXPECT_EQ(slow.read_response().body, "hello");
}

TEST(ThreadsDeadlinesTest, HangingRequestDoesNotSilenceTheLoop) {
  base::WorkerConfig config = test_config(base::WorkerClass::kThreads);
  config.timeout = milliseconds(100);
  TestServer server(config);
  Client hanging(server.port());
  hanging.send(get_request("/hold"));
  ASSERT_TRUE(server.application().gate().wait_for(1));
  const std::uint64_t beat = server.scoreboard()->beat.load();
  EXPECT_TRUE(eventually([&] { return server.scoreboard()->beat.load() > beat + 200'000'000; }));
}

}  // namespace
}  // namespace corn::server::testing
