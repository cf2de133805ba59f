// SPDX-License-Identifier: Apache-2.0
// Requests over their limit: they are given up, everything else is finished.
#include <gtest/gtest.h>

#include "tests/unit/server/harness.h"

namespace corn::server::testing {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr base::Milliseconds kGrace(15'000);

// A server with a request that hangs, begun before others can be.
class OverdueTest : public ::testing::TestWithParam<base::WorkerClass> {
 protected:
  OverdueTest() {
    hanging_.send(get_request("/hold"));
    EXPECT_TRUE(server_.application().gate().wait_for(1));
    const auto begun = Clock::now();
    EXPECT_TRUE(eventually([&] { return Clock::now() - begun > milliseconds(5); }));
    newest_ = Clock::now();
  }
  ~OverdueTest() override { server_.application().gate().open(); }

  // Gives up what was inside when the test began, and nothing later.
  void end_overdue() {
    const auto limit = std::chrono::ceil<milliseconds>(Clock::now() - newest_);
    server_.server().end_overdue(limit, kGrace, [this] { ++told_; });
  }
  bool told() {
    return eventually([this] { return told_ == 1; });
  }

  std::atomic<int> told_{0};
  TestServer server_{test_config(GetParam())};
  Client hanging_{server_.port()};
  Clock::time_point newest_;
};

INSTANTIATE_TEST_SUITE_P(Classes, OverdueTest, kBothClasses, class_name);

TEST_P(OverdueTest, ClientOfTheHangingRequestIsAnswered504) {
  end_overdue();
  const Response response = hanging_.read_response();
  EXPECT_EQ(response.status, 504);
  EXPECT_EQ(response.field("Connection"), "close");
  EXPECT_TRUE(hanging_.closed_by_peer());
  hanging_.close();
  EXPECT_TRUE(told());
  EXPECT_FALSE(server_.ended()) << "the application has the thread";
}

TEST_P(OverdueTest, ClientThatStaysAfterItsAnswerIsNotWaitedForLong) {
  end_overdue();
  EXPECT_EQ(hanging_.read_response().status, 504);
  EXPECT_TRUE(told());
}

TEST_P(OverdueTest, RequestThatComesBackAfterAllEndsTheWorkerInOrder) {
  end_overdue();
  EXPECT_EQ(hanging_.read_response().status, 504);
  server_.application().gate().open();
  hanging_.close();
  EXPECT_TRUE(server_.wait_until_ended());
}

using ThreadsOverdueTest = OverdueTest;
INSTANTIATE_TEST_SUITE_P(Threads, ThreadsOverdueTest,
                         ::testing::Values(base::WorkerClass::kThreads), class_name);

TEST_P(ThreadsOverdueTest, OtherRequestsAreFinishedFirst) {
  Client other(server_.port());
  other.send("POST /sum HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
  ASSERT_EQ(other.read_response().status, 100);
  Client half(server_.port());
  half.send("GET /hello HTTP/1.1\r\nHost: ");
  ASSERT_TRUE(eventually([&] { return server_.scoreboard()->connections.load() == 3; }));
  end_overdue();
  EXPECT_EQ(hanging_.read_response().status, 504);
  hanging_.close();
  other.send("hello");
  EXPECT_EQ(other.read_response().body, "5");
  half.send("t\r\n\r\n");
  EXPECT_EQ(half.read_response().status, 200);
  EXPECT_EQ(told_, 0) << "clients that were told to close are still there";
  other.close();
  half.close();
  EXPECT_TRUE(told());
}

TEST_P(ThreadsOverdueTest, WhatCanNotEnterBecauseEveryThreadHangsIsAnswered504) {
  Client behind(server_.port());
  ASSERT_EQ(behind.get("/hello").status, 200);
  Client second(server_.port());
  Client third(server_.port());
  second.send(get_request("/hold"));
  third.send(get_request("/hold"));
  ASSERT_TRUE(server_.application().gate().wait_for(3));
  behind.send(get_request("/hello"));
  ASSERT_FALSE(behind.readable(milliseconds(50)));
  newest_ = Clock::now();
  ASSERT_TRUE(eventually([&] { return Clock::now() - newest_ > milliseconds(5); }));
  end_overdue();
  for (Client* client : {&hanging_, &second, &third, &behind}) {
    EXPECT_EQ(client->read_response().status, 504);
    client->close();
  }
  EXPECT_TRUE(told());
  EXPECT_EQ(server_.application().handled, 4) << "nobody else has come in";
}

TEST(SyncOverdueTest, HalfARequestThatCanNotEnterIsAnswered504) {
  TestServer server(test_config(base::WorkerClass::kSync));
  Client half(server.port());
  ASSERT_EQ(half.get("/hello").status, 200);
  Client hanging(server.port());
  hanging.send(get_request("/hold"));
  ASSERT_TRUE(server.application().gate().wait_for(1));
  half.send("GET /hello HTTP/1.1\r\nHost: ");
  server.server().end_overdue(base::Milliseconds(0), kGrace, [] {});
  EXPECT_EQ(half.read_response().status, 504);
  EXPECT_EQ(hanging.read_response().status, 504);
}

}  // namespace
}  // namespace corn::server::testing
