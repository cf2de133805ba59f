// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <future>
#include <thread>
#include <vector>

#include "server_fixture.h"

namespace corn::control {
namespace {

class StopTest : public ServerTest {};

TEST_F(StopTest, RemovesTheSocketAndCanBeFollowedByAnotherStart) {
  server_->stop();
  EXPECT_FALSE(std::filesystem::exists(socket_path_));
  start(::getuid());
  grpc::ClientContext context;
  limit(context);
  api::GetStatusResponse response;
  EXPECT_TRUE(arbiter_->GetStatus(&context, {}, &response).ok());
}

TEST_F(StopTest, EndsWaitingCallsAndStreamsUnavailable) {
  std::promise<driver::CommandCallbacks> begun;
  door_.run([&] {
    door_.on_command = [&](const core::Command&, const driver::CommandCallbacks& callbacks) {
      begun.set_value(callbacks);
    };
  });
  auto scale = std::async(std::launch::async, [this] {
    grpc::ClientContext context;
    limit(context);
    api::ScaleRequest request;
    request.set_delta(1);
    api::ScaleResponse response;
    return arbiter_->Scale(&context, request, &response).error_code();
  });
  const driver::CommandCallbacks callbacks = begun.get_future().get();
  grpc::ClientContext context;
  limit(context);
  api::WatchEventsRequest request;
  request.set_follow(true);
  const auto reader = arbiter_->WatchEvents(&context, request);
  std::size_t subscribers = 0;
  while (subscribers == 0) door_.run([&] { subscribers = door_.subscribers(); });

  server_->stop();
  EXPECT_EQ(scale.get(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(reason(context), "STOPPING");

  // Too late: nobody is there to hear it.
  door_.run([&] {
    callbacks.done({});
    door_.publish({});
  });
}

TEST_F(StopTest, BeforeAnUpgradeWhoWaitsIsToldThatItGoesOn) {
  grpc::ClientContext context;
  limit(context);
  api::WatchEventsRequest request;
  request.set_follow(true);
  const auto reader = arbiter_->WatchEvents(&context, request);
  std::size_t subscribers = 0;
  while (subscribers == 0) door_.run([&] { subscribers = door_.subscribers(); });
  server_->stop(true);
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(reason(context), "INTERRUPTED");
}

TEST_F(StopTest, DeliversWhatTheDoorHasRepliedBefore) {
  for (int round = 0; round < 20; ++round) {
    door_.run([this] {
      door_.on_command = [](const core::Command&, const driver::CommandCallbacks& callbacks) {
        callbacks.done({});
      };
    });
    std::promise<void> replied;
    door_.run([&] {
      door_.on_command = [&](const core::Command&, const driver::CommandCallbacks& callbacks) {
        callbacks.done({});
        replied.set_value();
      };
    });
    auto shutdown = std::async(std::launch::async, [this] {
      grpc::ClientContext context;
      limit(context);
      api::ShutdownResponse response;
      return arbiter_->Shutdown(&context, {}, &response);
    });
    replied.get_future().wait();
    server_->stop();
    const grpc::Status status = shutdown.get();
    ASSERT_TRUE(status.ok()) << status.error_message();
    start(::getuid());
  }
}

TEST_F(StopTest, CallsThatComeInMeanwhileAreAnsweredOrRefused) {
  for (int round = 0; round < 10; ++round) {
    std::atomic<bool> over = false;
    std::atomic<int> begun = 0;
    std::vector<std::thread> clients;
    for (int i = 0; i < 4; ++i) {
      clients.emplace_back([&] {
        const auto arbiter = api::Arbiter::NewStub(new_channel());
        while (!over) {
          grpc::ClientContext context;
          limit(context);
          api::GetStatusResponse response;
          const grpc::Status status = arbiter->GetStatus(&context, {}, &response);
          if (status.ok()) ++begun;
          // CANCELLED is gRPC's own word for a call that nobody had taken up when it stopped.
          EXPECT_TRUE(status.ok() || status.error_code() == grpc::StatusCode::UNAVAILABLE ||
                      status.error_code() == grpc::StatusCode::CANCELLED)
              << status.error_message();
        }
      });
    }
    while (begun < 20) std::this_thread::yield();
    server_->stop();
    over = true;
    for (std::thread& client : clients) client.join();
    start(::getuid());
  }
}

TEST_F(StopTest, DoesNotWaitForClientsThatDoNotRead) {
  grpc::ClientContext context;
  limit(context);
  api::WatchEventsRequest request;
  request.set_follow(true);
  const auto reader = arbiter_->WatchEvents(&context, request);
  std::size_t subscribers = 0;
  while (subscribers == 0) door_.run([&] { subscribers = door_.subscribers(); });
  door_.run([this] {
    core::Record record;
    record.text = std::string(60'000, 'x');
    for (int i = 0; i < 200; ++i) door_.publish(record);
  });
  const auto before = std::chrono::steady_clock::now();
  server_->stop();
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(10));
}

}  // namespace
}  // namespace corn::control
