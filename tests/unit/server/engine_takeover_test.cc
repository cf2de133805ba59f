// SPDX-License-Identifier: Apache-2.0
// While the application is busy, slow or hanging: the follower of a sync worker, and aborting.
#include <gtest/gtest.h>

#include "tests/unit/server/harness.h"

namespace corn::server::testing {
namespace {

using std::chrono::milliseconds;

class TakeoverTest : public ::testing::Test {
 protected:
  base::WorkerConfig config_ = test_config(base::WorkerClass::kSync);
};

TEST_F(TakeoverTest, OtherConnectionsAreReadWhileTheApplicationIsInside) {
  TestServer server(config_);
  Client other(server.port());
  ASSERT_EQ(other.get("/hello").status, 200);
  Client holder(server.port());
  holder.send(get_request("/hold"));
  ASSERT_TRUE(server.application().gate().wait_for(1));
  other.send("nonsense\r\n\r\n");
  EXPECT_EQ(other.read_response().status, 400);
  server.application().gate().open();
  EXPECT_EQ(holder.read_response().status, 200);
}

TEST_F(TakeoverTest, WholeRequestsWaitAndAreCounted) {
  TestServer server(config_);
  Client other(server.port());
  ASSERT_EQ(other.get("/hello").status, 200);
  Client holder(server.port());
  holder.send(get_request("/hold"));
  ASSERT_TRUE(server.application().gate().wait_for(1));
  other.send(get_request("/hello"));
  EXPECT_TRUE(eventually([&] { return server.scoreboard()->waiting.load() == 1; }));
  EXPECT_EQ(server.scoreboard().read().in_flight, 1U);
  server.application().gate().open();
  EXPECT_EQ(other.read_response().status, 200);
  EXPECT_EQ(server.scoreboard()->waiting.load(), 0U);
}

TEST_F(TakeoverTest, NewConnectionsAreLeftToSiblingsWhileBusy) {
  TestServer server(config_);
  Client holder(server.port());
  holder.send(get_request("/hold"));
  ASSERT_TRUE(server.application().gate().wait_for(1));
  Client newcomer(server.port());
  newcomer.send(get_request("/hello"));
  EXPECT_FALSE(newcomer.readable(milliseconds(100)));
  EXPECT_EQ(server.scoreboard()->accepted.load(), 1U);
  server.application().gate().open();
  EXPECT_EQ(newcomer.read_response().status, 200);
}

TEST_F(TakeoverTest, TimeoutsOfOthersAreKeptWhileBusy) {
  config_.keep_alive = milliseconds(50);
  TestServer server(config_);
  Client idle(server.port());
  ASSERT_EQ(idle.get("/hello").status, 200);
  Client holder(server.port());
  holder.send(get_request("/hold"));
  ASSERT_TRUE(server.application().gate().wait_for(1));
  EXPECT_TRUE(idle.closed_by_peer());
}

TEST_F(TakeoverTest, SlowClientDoesNotDelayOthers) {
  TestServer server(config_);
  Client slow(server.port(), 4096);
  slow.send(get_request("/file/3000000"));
  Client quick(server.port());
  for (int i = 0; i < 20; ++i) ASSERT_EQ(quick.get("/hello").status, 200);
  EXPECT_EQ(slow.read_response().body.size(), 3'000'000U);
}

TEST_F(TakeoverTest, ManySlowAndQuickRequestsTakeTurns) {
  TestServer server(config_);
  server.application().gate().open();
  std::vector<std::thread> clients;
  std::atomic<int> answered{0};
  for (int i = 0; i < 6; ++i) {
    clients.emplace_back([&, i] {
      Client client(server.port());
      for (int j = 0; j < 10; ++j) {
        if (i % 2 == 0) {
          client.send(
              "POST /sum HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
          if (client.read_response().status != 100) continue;
          client.send("12345");
          answered += client.read_response().body == "5" ? 1 : 0;
        } else {
          answered += client.get("/big/1500000").body.size() == 1'500'000 ? 1 : 0;
        }
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(answered, 60);
}

class AbortTest : public ::testing::TestWithParam<base::WorkerClass> {
 protected:
  base::WorkerConfig config_ = test_config(GetParam());
};

INSTANTIATE_TEST_SUITE_P(Classes, AbortTest, kBothClasses, class_name);

TEST_P(AbortTest, HangingRequestIsAnswered504) {
  config_.access_log = "FILE";
  config_.access_log_format = "%(s)s %(m)s %(U)s";
  TestServer server(config_);
  Client idle(server.port());
  ASSERT_EQ(idle.get("/hello").status, 200);
  Client hanging(server.port());
  hanging.send(get_request("/hold"));
  ASSERT_TRUE(server.application().gate().wait_for(1));
  std::thread client([&] {
    const Response response = hanging.read_response();
    EXPECT_EQ(response.status, 504);
    EXPECT_EQ(response.field("Connection"), "close");
    EXPECT_TRUE(hanging.closed_by_peer());
    hanging.close();
    EXPECT_TRUE(idle.closed_by_peer());
    idle.close();
  });
  const auto start = std::chrono::steady_clock::now();
  server.server().abort_requests(kPatience);
  EXPECT_LT(std::chrono::steady_clock::now() - start, kPatience);
  client.join();
  EXPECT_TRUE(eventually([&] {
    return read_file(server.directory() + "/access.log").find("504 GET /hold\n") !=
           std::string::npos;
  }));
}

TEST_P(AbortTest, AbortAtOnceNeedsNoTakeoverBefore) {
  TestServer server(config_);
  Client hanging(server.port());
  hanging.send(get_request("/hold"));
  ASSERT_TRUE(server.application().gate().wait_for(1));
  std::thread client([&] {
    EXPECT_EQ(hanging.read_response().status, 504);
    hanging.close();
  });
  server.server().abort_requests(kPatience);
  client.join();
}

TEST_P(AbortTest, BegunAnswerIsCutWithoutAnEnd) {
  TestServer server(config_);
  Client client(server.port());
  client.send(get_request("/streamed-hold"));
  ASSERT_TRUE(server.application().gate().wait_for(1));
  std::thread aborter([&] { server.server().abort_requests(milliseconds(500)); });
  const Response response = client.read_response();
  EXPECT_EQ(response.status, 200);
  EXPECT_FALSE(response.complete);
  EXPECT_EQ(response.body, "before");
  aborter.join();
}

TEST_P(AbortTest, ReturnsAtItsLimitWhenAClientStays) {
  TestServer server(config_);
  Client hanging(server.port());
  hanging.send(get_request("/hold"));
  ASSERT_TRUE(server.application().gate().wait_for(1));
  const auto start = std::chrono::steady_clock::now();
  server.server().abort_requests(milliseconds(100));
  EXPECT_LT(std::chrono::steady_clock::now() - start, milliseconds(2000));
  EXPECT_EQ(hanging.read_response().status, 504);
}

TEST_P(AbortTest, IdleWorkerAbortsAtOnce) {
  TestServer server(config_);
  server.server().abort_requests(kPatience);
  EXPECT_TRUE(server.wait_until_ended());
}

}  // namespace
}  // namespace corn::server::testing
