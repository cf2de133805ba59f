// SPDX-License-Identifier: Apache-2.0
// How a worker goes away without losing a request.
#include <gtest/gtest.h>

#include "tests/unit/server/harness.h"

namespace corn::server::testing {
namespace {

using std::chrono::milliseconds;
constexpr base::Milliseconds kGrace(15'000);

class DrainingTest : public ::testing::TestWithParam<base::WorkerClass> {
 protected:
  base::WorkerConfig config_ = test_config(GetParam());
};

INSTANTIATE_TEST_SUITE_P(Classes, DrainingTest, kBothClasses, class_name);

TEST_P(DrainingTest, IdleWorkerEndsAtOnce) {
  TestServer server(config_);
  server.server().drain(kGrace, false);
  EXPECT_TRUE(server.wait_until_ended());
}

TEST_P(DrainingTest, RequestInFlightIsAnsweredAndClosed) {
  TestServer server(config_);
  Client client(server.port());
  client.send(get_request("/hold"));
  ASSERT_TRUE(server.application().gate().wait_for(1));
  server.server().drain(kGrace, false);
  // The order has been taken when new connections are refused.
  ASSERT_TRUE(eventually([&] { return !Client(server.port()).send("x"); }));
  server.application().gate().open();
  const Response response = client.read_response();
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.field("Connection"), "close");
  EXPECT_TRUE(client.closed_by_peer());
  client.close();
  EXPECT_TRUE(server.wait_until_ended());
}

TEST_P(DrainingTest, IdleConnectionGetsItsNextAnswerWithClose) {
  TestServer server(config_);
  Client client(server.port());
  ASSERT_EQ(client.get("/hello").status, 200);
  server.server().drain(kGrace, false);
  ASSERT_TRUE(eventually([&] { return !Client(server.port()).send("x"); }));
  const Response response = client.get("/hello");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.field("Connection"), "close");
  EXPECT_TRUE(client.closed_by_peer());
  client.close();
  EXPECT_TRUE(server.wait_until_ended());
}

TEST_P(DrainingTest, IdleConnectionEndsWithItsKeepAliveTime) {
  config_.keep_alive = milliseconds(100);
  TestServer server(config_);
  Client client(server.port());
  ASSERT_EQ(client.get("/hello").status, 200);
  server.server().drain(kGrace, false);
  EXPECT_TRUE(client.closed_by_peer());
  client.close();
  EXPECT_TRUE(server.wait_until_ended());
}

TEST_P(DrainingTest, BacklogIsServedBeforeTheEnd) {
  TestServer server(config_);
  std::vector<std::unique_ptr<Client>> holders;
  for (std::uint32_t i = 0; i < config_.threads; ++i) {
    holders.push_back(std::make_unique<Client>(server.port()));
    holders.back()->send(get_request("/hold"));
  }
  ASSERT_TRUE(server.application().gate().wait_for(static_cast<int>(config_.threads)));
  std::vector<std::unique_ptr<Client>> waiting;
  for (int i = 0; i < 10; ++i) {
    waiting.push_back(std::make_unique<Client>(server.port()));
    waiting.back()->send(get_request("/hello"));
  }
  server.server().drain(kGrace, true);
  server.application().gate().open();
  for (auto& client : holders) EXPECT_EQ(client->read_response().status, 200);
  for (auto& client : waiting) {
    EXPECT_EQ(client->read_response().status, 200);
    client->close();
  }
  holders.clear();
  EXPECT_TRUE(server.wait_until_ended());
}

TEST_P(DrainingTest, BacklogIsServedThoughThereIsNoRoomForAllOfItAtOnce) {
  config_.worker_connections = config_.threads;
  TestServer server(config_);
  std::vector<std::unique_ptr<Client>> holders;
  for (std::uint32_t i = 0; i < config_.threads; ++i) {
    holders.push_back(std::make_unique<Client>(server.port()));
    holders.back()->send(get_request("/hold"));
  }
  ASSERT_TRUE(server.application().gate().wait_for(static_cast<int>(config_.threads)));
  std::vector<std::unique_ptr<Client>> waiting;
  for (int i = 0; i < 5; ++i) {
    waiting.push_back(std::make_unique<Client>(server.port()));
    waiting.back()->send(get_request("/hello"));
  }
  server.server().drain(kGrace, true);
  server.application().gate().open();
  for (auto& client : holders) {
    EXPECT_EQ(client->read_response().status, 200);
    client->close();
  }
  for (auto& client : waiting) {
    EXPECT_EQ(client->read_response().status, 200);
    client->close();
  }
  EXPECT_TRUE(server.wait_until_ended());
}

TEST_P(DrainingTest, ShutdownDoesNotWaitForKeepAliveTimes) {
  config_.keep_alive = milliseconds(60'000);
  TestServer server(config_);
  Client client(server.port());
  ASSERT_EQ(client.get("/hello").status, 200);
  server.server().drain(base::Milliseconds(60'000), true);
  EXPECT_TRUE(client.closed_by_peer());
  EXPECT_TRUE(server.wait_until_ended());
}

TEST_P(DrainingTest, SecondDrainCanOnlyShorten) {
  config_.keep_alive = milliseconds(60'000);
  TestServer server(config_);
  Client client(server.port());
  ASSERT_EQ(client.get("/hello").status, 200);
  server.server().drain(milliseconds(100), false);
  server.server().drain(base::Milliseconds(60'000), false);
  EXPECT_TRUE(server.wait_until_ended());
}

TEST_P(DrainingTest, GraceEndsWithWhatIsLeftCut) {
  config_.keep_alive = milliseconds(60'000);
  TestServer server(config_);
  Client client(server.port());
  client.send("GET /hello HTTP/1.1\r\n");
  ASSERT_TRUE(eventually([&] { return server.scoreboard()->connections.load() == 1; }));
  server.server().drain(milliseconds(50), false);
  EXPECT_TRUE(server.wait_until_ended());
}

TEST_P(DrainingTest, QuitCutsRequestsOff) {
  config_.keep_alive = milliseconds(60'000);
  TestServer server(config_);
  Client client(server.port());
  ASSERT_EQ(client.get("/hello").status, 200);
  server.server().quit();
  EXPECT_TRUE(server.wait_until_ended());
}

TEST_P(DrainingTest, QuitWakesApplicationsThatWaitForTheirClients) {
  TestServer server(config_);
  Client reading(server.port());
  reading.send(
      "POST /echo HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
  ASSERT_EQ(reading.read_response().status, 100);
  server.server().quit();
  ASSERT_TRUE(server.wait_until_ended());
  EXPECT_TRUE(eventually([&] { return server.application().broken_bodies == 1; }));
}

TEST_P(DrainingTest, QuitWakesApplicationsWhoseClientsTakeNothing) {
  TestServer server(config_);
  Client client(server.port(), 4096);
  client.send(get_request("/pieces/50000000"));
  ASSERT_FALSE(client.read(1000).empty());
  server.server().quit();
  ASSERT_TRUE(server.wait_until_ended());
  EXPECT_TRUE(eventually([&] { return server.application().failed_writes == 1; }));
}

// A client ends when it is told to close: its next connection would be another worker's.
TEST_P(DrainingTest, NothingIsLostUnderKeepAliveLoad) {
  for (const bool shutdown : {false, true}) {
    TestServer server(config_);
    std::atomic<int> lost{0};
    std::atomic<int> answered{0};
    std::vector<std::thread> clients;
    for (int i = 0; i < 8; ++i) {
      clients.emplace_back([&] {
        Client client(server.port());
        for (;;) {
          const Response response = client.get("/hello");
          if (response.status != 200 || !response.complete) {
            ++lost;
            return;
          }
          ++answered;
          if (response.field("Connection") == "close") return;
        }
      });
    }
    ASSERT_TRUE(
        eventually([&] { return answered > 500 && server.scoreboard()->accepted.load() == 8; }));
    server.server().drain(kGrace, shutdown);
    for (std::thread& client : clients) client.join();
    EXPECT_EQ(lost, 0);
    EXPECT_TRUE(server.wait_until_ended());
  }
}

TEST(ThreadsDrainingTest, QuitLeavesHangingThreadsBehind) {
  TestServer server(test_config(base::WorkerClass::kThreads));
  Client client(server.port());
  client.send(get_request("/hold"));
  ASSERT_TRUE(server.application().gate().wait_for(1));
  server.server().quit();
  EXPECT_TRUE(server.wait_until_ended());
  EXPECT_TRUE(server.server().left_behind());
}

}  // namespace
}  // namespace corn::server::testing
