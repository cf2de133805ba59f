// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <limits>
#include <thread>
#include <vector>

#include "server_fixture.h"

namespace corn::control {
namespace {

class StatusTest : public ServerTest {
 protected:
  grpc::Status get_status(api::GetStatusResponse& response, const std::string& pool = "") {
    grpc::ClientContext context;
    limit(context);
    api::GetStatusRequest request;
    request.set_pool(pool);
    const grpc::Status status = arbiter_->GetStatus(&context, request, &response);
    reason_ = reason(context);
    return status;
  }

  std::string reason_;
};

TEST_F(StatusTest, ShowsArbiterPoolsAndWorkers) {
  api::GetStatusResponse response;
  ASSERT_TRUE(get_status(response).ok());
  EXPECT_EQ(response.arbiter().pid(), 100);
  EXPECT_EQ(response.arbiter().state(), api::ArbiterStatus::SERVING);
  EXPECT_EQ(response.arbiter().started_at().seconds(), 1769835600);
  EXPECT_EQ(response.arbiter().started_at().nanos(), 250'000'000);
  ASSERT_EQ(response.pools_size(), 1);
  const api::PoolStatus& pool = response.pools(0);
  EXPECT_EQ(pool.state(), api::PoolStatus::SERVING);
  EXPECT_EQ(pool.listeners(0).address(), "127.0.0.1:8000");
  EXPECT_EQ(pool.requests_total(), 123456u);
  ASSERT_EQ(pool.workers_size(), 2);
  EXPECT_EQ(pool.workers(0).state(), api::WorkerStatus::READY);
  EXPECT_EQ(pool.workers(1).state(), api::WorkerStatus::BUSY);
  EXPECT_EQ(pool.workers(1).active_requests(0).target(), "/report");
  EXPECT_DOUBLE_EQ(pool.workers(1).active_requests(0).running_seconds(), 1.5);
}

TEST_F(StatusTest, OfOnePoolLeavesTheOthersOut) {
  door_.run([this] {
    door_.status.pools.push_back(door_.status.pools[0]);
    door_.status.pools[1].name = "admin";
  });
  api::GetStatusResponse response;
  ASSERT_TRUE(get_status(response, "admin").ok());
  ASSERT_EQ(response.pools_size(), 1);
  EXPECT_EQ(response.pools(0).name(), "admin");
}

TEST_F(StatusTest, OfAnUnknownPoolIsNotFound) {
  api::GetStatusResponse response;
  const grpc::Status status = get_status(response, "nope");
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_NE(status.error_message().find("there is no pool 'nope'"), std::string::npos);
}

TEST_F(StatusTest, WhatAWorkerScribbledDoesNotBreakTheAnswer) {
  door_.run([this] {
    driver::WorkerStatus& worker = door_.status.pools[0].workers[1];
    worker.busy = std::numeric_limits<double>::quiet_NaN();
    worker.in_flight = std::numeric_limits<std::uint64_t>::max();
    worker.active[0].method = std::string("G\0T\xff", 4);
    worker.active[0].target = std::string(100'000, '\xfe');
  });
  api::GetStatusResponse response;
  ASSERT_TRUE(get_status(response).ok());
  const api::WorkerStatus& worker = response.pools(0).workers(1);
  EXPECT_EQ(worker.busy(), 0);
  EXPECT_EQ(worker.in_flight(), std::numeric_limits<std::uint32_t>::max());
  EXPECT_EQ(worker.active_requests(0).method(), std::string("G\0T\xef\xbf\xbd", 6));
  EXPECT_LT(worker.active_requests(0).target().size(), 400u);
}

TEST_F(StatusTest, IsUnavailableWhenTheArbiterTakesNothing) {
  door_.taking = false;
  api::GetStatusResponse response;
  EXPECT_EQ(get_status(response).error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(reason_, "QUEUE_FULL");
}

TEST_F(StatusTest, AnswersManyClientsAtOnce) {
  constexpr int kClients = 24;
  constexpr int kCalls = 40;
  std::atomic<int> right = 0;
  std::vector<std::thread> clients;
  for (int i = 0; i < kClients; ++i) {
    clients.emplace_back([&] {
      const auto arbiter = api::Arbiter::NewStub(new_channel());
      for (int call = 0; call < kCalls; ++call) {
        grpc::ClientContext context;
        limit(context);
        api::GetStatusResponse response;
        if (arbiter->GetStatus(&context, {}, &response).ok() && response.pools_size() == 1) ++right;
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(right, kClients * kCalls);
}

TEST_F(StatusTest, ManyConnectionsOneAfterTheOtherAreAllServed) {
  for (int i = 0; i < 400; ++i) {
    const auto arbiter = api::Arbiter::NewStub(new_channel());
    grpc::ClientContext context;
    limit(context);
    api::GetStatusResponse response;
    const grpc::Status status = arbiter->GetStatus(&context, {}, &response);
    ASSERT_TRUE(status.ok()) << "connection " << i << ": " << status.error_message();
  }
}

}  // namespace
}  // namespace corn::control
