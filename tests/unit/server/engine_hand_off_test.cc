// SPDX-License-Identifier: Apache-2.0
// How a connection goes on with another worker of the pool.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "base/hand_off.h"
#include "tests/unit/server/harness.h"

namespace corn::server::testing {
namespace {

constexpr base::Milliseconds kGrace(15'000);

// A queue whose ends are given out as copies, as arbiterd does.
class Queue {
 public:
  Queue() {
    int ends[2] = {-1, -1};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    ends_ = {base::UniqueFd(ends[0]), base::UniqueFd(ends[1])};
  }
  [[nodiscard]] HandOffEnds ends() const {
    return {base::UniqueFd(::dup(ends_.in.get())), base::UniqueFd(::dup(ends_.out.get()))};
  }
  // Leaves no room, with datagrams that are no connections.
  void fill() const {
    while (::send(ends_.in.get(), "x", 1, MSG_DONTWAIT) == 1) {
    }
    EXPECT_EQ(errno, EAGAIN);
  }

 private:
  HandOffEnds ends_;
};

class EngineHandOffTest : public ::testing::TestWithParam<base::WorkerClass> {
 protected:
  base::WorkerConfig config_ = test_config(GetParam());
  Queue queue_;
};

INSTANTIATE_TEST_SUITE_P(Classes, EngineHandOffTest, kBothClasses, class_name);

TEST_P(EngineHandOffTest, IdleConnectionGoesOnWithTheNextWorker) {
  TestServer old_worker(config_, Transport::kTcp, queue_.ends());
  Client client(old_worker.port());
  ASSERT_EQ(client.get("/hello").status, 200);
  TestServer new_worker(config_, Transport::kTcp, queue_.ends());
  old_worker.server().drain(kGrace, false);
  EXPECT_TRUE(old_worker.wait_until_ended());
  for (int i = 0; i < 3; ++i) {
    const Response response = client.get("/remote");
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.body, "127.0.0.1");
    EXPECT_EQ(response.field("Connection"), "");
  }
  EXPECT_TRUE(eventually([&] { return new_worker.application().handled.load() == 3; }));
}

TEST_P(EngineHandOffTest, WorkerThatGoesHasOthersLookForConnectionsThatOnlyItWasToldOf) {
  TestServer server(config_, Transport::kTcp, queue_.ends());
  Client client(server.port());
  ASSERT_EQ(client.get("/hello").status, 200);
  client.close();
  ASSERT_TRUE(eventually([&] { return server.scoreboard()->connections.load() == 0; }));
  server.server().drain(kGrace, false);
  ASSERT_TRUE(server.wait_until_ended());
  char word = 'x';
  EXPECT_EQ(::recv(queue_.ends().out.get(), &word, 1, MSG_DONTWAIT), 1);
  EXPECT_EQ(word, base::kLookForNewcomers);
}

TEST_P(EngineHandOffTest, ConnectionWaitsInTheQueueForAWorkerToCome) {
  auto old_worker = std::make_unique<TestServer>(config_, Transport::kTcp, queue_.ends());
  Client client(old_worker->port());
  ASSERT_EQ(client.get("/hello").status, 200);
  old_worker->server().drain(kGrace, false);
  ASSERT_TRUE(old_worker->wait_until_ended());
  old_worker.reset();
  client.send(get_request("/hello"));
  const TestServer new_worker(config_, Transport::kTcp, queue_.ends());
  EXPECT_EQ(client.read_response().status, 200);
}

TEST_P(EngineHandOffTest, ConnectionThatHasAskedForNothingYetGoesOn) {
  config_.keep_alive = std::chrono::milliseconds(1);  // which isn't its time-out
  TestServer old_worker(config_, Transport::kUnix, queue_.ends());
  Client client(old_worker.socket_path());
  ASSERT_TRUE(eventually([&] { return old_worker.scoreboard()->connections.load() == 1; }));
  old_worker.server().drain(kGrace, false);
  ASSERT_TRUE(old_worker.wait_until_ended());
  const TestServer new_worker(config_, Transport::kTcp, queue_.ends());
  EXPECT_EQ(client.get("/hello").status, 200);
}

TEST_P(EngineHandOffTest, AnswerOnItsWayIsFinishedFirst) {
  TestServer old_worker(config_, Transport::kTcp, queue_.ends());
  Client client(old_worker.port());
  client.send(get_request("/hold"));
  ASSERT_TRUE(old_worker.application().gate().wait_for(1));
  TestServer new_worker(config_, Transport::kTcp, queue_.ends());
  old_worker.server().drain(kGrace, false);
  ASSERT_TRUE(eventually([&] { return !Client(old_worker.port()).send("x"); }));
  old_worker.application().gate().open();
  const Response response = client.read_response();
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.field("Connection"), "");
  // Whoever has the connection when this comes; afterwards it can only be the new one.
  EXPECT_EQ(client.get("/hello").status, 200);
  EXPECT_TRUE(old_worker.wait_until_ended());
  EXPECT_EQ(client.get("/hello").status, 200);
  EXPECT_TRUE(eventually([&] { return new_worker.application().handled.load() >= 1; }));
}

TEST_P(EngineHandOffTest, HalfReadRequestIsAnsweredAndThenItsConnectionPassedOn) {
  TestServer old_worker(config_, Transport::kTcp, queue_.ends());
  Client client(old_worker.port());
  ASSERT_EQ(client.get("/hello").status, 200);
  const std::uint64_t before = old_worker.scoreboard()->bytes_received.load();
  client.send("GET /hello HTTP/1.1\r\n");
  ASSERT_TRUE(eventually([&] { return old_worker.scoreboard()->bytes_received.load() > before; }));
  TestServer new_worker(config_, Transport::kTcp, queue_.ends());
  old_worker.server().drain(kGrace, false);
  ASSERT_TRUE(eventually([&] { return !Client(old_worker.port()).send("x"); }));
  client.send("Host: test\r\n\r\n");
  EXPECT_EQ(client.read_response().status, 200);
  EXPECT_TRUE(eventually([&] { return old_worker.application().handled.load() == 2; }));
  // Whoever has the connection when this comes; afterwards it can only be the new one.
  EXPECT_EQ(client.get("/hello").status, 200);
  EXPECT_TRUE(old_worker.wait_until_ended());
  EXPECT_EQ(client.get("/hello").status, 200);
  EXPECT_TRUE(eventually([&] { return new_worker.application().handled.load() >= 1; }));
}

TEST_P(EngineHandOffTest, FullQueueMeansServingOnAndTryingAgain) {
  // It takes from another queue, and so doesn't empty this one before it drains.
  const Queue other_queue;
  HandOffEnds ends = queue_.ends();
  ends.out = other_queue.ends().out;
  TestServer old_worker(config_, Transport::kTcp, std::move(ends));
  Client client(old_worker.port());
  ASSERT_EQ(client.get("/hello").status, 200);
  queue_.fill();
  old_worker.server().drain(kGrace, false);
  ASSERT_TRUE(eventually([&] { return !Client(old_worker.port()).send("x"); }));
  for (int i = 0; i < 3; ++i) {
    const Response response = client.get("/hello");
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.field("Connection"), "");
  }
  EXPECT_TRUE(eventually([&] { return old_worker.application().handled.load() == 4; }));
  // The next worker empties the queue of what is no connection.
  TestServer new_worker(config_, Transport::kTcp, queue_.ends());
  EXPECT_TRUE(old_worker.wait_until_ended());
  EXPECT_EQ(client.get("/hello").status, 200);
  EXPECT_TRUE(eventually([&] { return new_worker.application().handled.load() == 1; }));
}

TEST_P(EngineHandOffTest, WhatIsHandedOverIsTakenBeyondTheLimitWhichIsKeptAgainLater) {
  config_.keep_alive = std::chrono::hours(1);
  auto old_worker = std::make_unique<TestServer>(config_, Transport::kTcp, queue_.ends());
  Client first(old_worker->port());
  Client second(old_worker->port());
  ASSERT_EQ(first.get("/hello").status, 200);
  ASSERT_EQ(second.get("/hello").status, 200);
  old_worker->server().drain(kGrace, false);
  ASSERT_TRUE(old_worker->wait_until_ended());
  old_worker.reset();
  second.send(get_request("/hello"));
  config_.worker_connections = 1;
  TestServer new_worker(config_, Transport::kTcp, queue_.ends());
  EXPECT_EQ(second.read_response().status, 200);
  EXPECT_TRUE(first.closed_by_peer()) << "it was idle for longest";
  EXPECT_TRUE(eventually([&] { return new_worker.scoreboard()->connections.load() == 1; }));
  EXPECT_EQ(second.get("/hello").status, 200);
}

TEST_P(EngineHandOffTest, WhatNobodyTakesEndsWithItsNextAnswer) {
  const Queue other_queue;
  HandOffEnds ends = queue_.ends();
  ends.out = other_queue.ends().out;
  TestServer old_worker(config_, Transport::kTcp, std::move(ends));
  Client client(old_worker.port());
  ASSERT_EQ(client.get("/hello").status, 200);
  queue_.fill();
  old_worker.server().drain(std::chrono::hours(1), false);
  std::string connection;
  while (connection.empty()) {
    const Response response = client.get("/hello");
    ASSERT_EQ(response.status, 200);
    connection = response.field("Connection");
  }
  EXPECT_EQ(connection, "close");
  EXPECT_TRUE(client.closed_by_peer());
  EXPECT_TRUE(old_worker.wait_until_ended());
}

TEST_P(EngineHandOffTest, IdleTimeIsCountedOnNotAnew) {
  int ends[2] = {-1, -1};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  base::UniqueFd server(ends[0]);
  const base::UniqueFd client(ends[1]);
  HandOffTicket ticket;
  ticket.first_request = false;
  ticket.since = std::chrono::steady_clock::now() - std::chrono::hours(1);
  HandOff queue(queue_.ends(), 0);
  ASSERT_TRUE(queue.send(server.get(), ticket));
  server.reset();
  config_.keep_alive = std::chrono::hours(1);
  const TestServer worker(config_, Transport::kTcp, queue_.ends());
  char byte = 0;
  EXPECT_EQ(::recv(client.get(), &byte, 1, 0), 0);
}

TEST_P(EngineHandOffTest, NothingIsPassedOnWhenNobodyIsLeft) {
  TestServer last_worker(config_, Transport::kTcp, queue_.ends());
  Client client(last_worker.port());
  ASSERT_EQ(client.get("/hello").status, 200);
  last_worker.server().drain(kGrace, true);
  EXPECT_TRUE(client.closed_by_peer());
  client.close();
  EXPECT_TRUE(last_worker.wait_until_ended());
}

TEST_P(EngineHandOffTest, WhoIsLastServesWhatWaitsInTheQueue) {
  TestServer first_worker(config_, Transport::kTcp, queue_.ends());
  Client client(first_worker.port());
  ASSERT_EQ(client.get("/hello").status, 200);
  first_worker.server().drain(kGrace, false);
  ASSERT_TRUE(first_worker.wait_until_ended());
  client.send(get_request("/hello"));
  TestServer last_worker(config_, Transport::kTcp, queue_.ends());
  last_worker.server().drain(kGrace, true);
  const Response response = client.read_response();
  EXPECT_EQ(response.status, 200);
}

TEST_P(EngineHandOffTest, OrderThatNobodyIsLeftOverrulesPassingOn) {
  TestServer worker(config_, Transport::kTcp, queue_.ends());
  Client holder(worker.port());
  holder.send(get_request("/hold"));
  ASSERT_TRUE(worker.application().gate().wait_for(1));
  worker.server().drain(kGrace, false);
  worker.server().drain(kGrace, true);
  ASSERT_TRUE(eventually([&] { return !Client(worker.port()).send("x"); }));
  worker.application().gate().open();
  EXPECT_EQ(holder.read_response().field("Connection"), "close");
}

TEST_P(EngineHandOffTest, WorkerThatIsPutDownPassesOnWhatIsIdle) {
  TestServer stuck(config_, Transport::kTcp, queue_.ends());
  Client idle(stuck.port());
  ASSERT_EQ(idle.get("/hello").status, 200);
  Client holder(stuck.port());
  holder.send(get_request("/hold"));
  ASSERT_TRUE(stuck.application().gate().wait_for(1));
  stuck.server().abort_requests(std::chrono::milliseconds(100));
  EXPECT_EQ(holder.read_response().status, 504);
  const TestServer successor(config_, Transport::kTcp, queue_.ends());
  EXPECT_EQ(idle.get("/hello").status, 200);
}

TEST(SyncHandOffTest, RequestThatWouldWaitForAHangingOneGoesToASibling) {
  const Queue queue;
  base::WorkerConfig config = test_config(base::WorkerClass::kSync);
  config.multiprocess = true;
  TestServer busy(config, Transport::kTcp, queue.ends());
  Client other(busy.port());
  ASSERT_EQ(other.get("/hello").status, 200);
  Client holder(busy.port());
  holder.send(get_request("/hold"));
  ASSERT_TRUE(busy.application().gate().wait_for(1));
  TestServer sibling(config, Transport::kTcp, queue.ends());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(other.get("/hello").status, 200);
  EXPECT_TRUE(eventually([&] { return busy.application().handled.load() == 2; }));
  busy.application().gate().open();
  EXPECT_EQ(holder.read_response().status, 200);
}

}  // namespace
}  // namespace corn::server::testing
