// SPDX-License-Identifier: Apache-2.0
#include "grpc/health/v1/health.grpc.pb.h"
#include "server_fixture.h"

namespace corn::control {
namespace {

namespace health = ::grpc::health::v1;

class HealthTest : public ServerTest {
 protected:
  grpc::Status check(const std::string& service, health::HealthCheckResponse& response) {
    grpc::ClientContext context;
    limit(context);
    health::HealthCheckRequest request;
    request.set_service(service);
    return health::Health::NewStub(channel_)->Check(&context, request, &response);
  }

  health::HealthCheckResponse::ServingStatus status_of(const std::string& service) {
    health::HealthCheckResponse response;
    const grpc::Status status = check(service, response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.status();
  }
};

TEST_F(HealthTest, InstanceServesWhileEveryPoolHasAReadyWorker) {
  EXPECT_EQ(status_of(""), health::HealthCheckResponse::SERVING);
  EXPECT_EQ(status_of("default"), health::HealthCheckResponse::SERVING);
  door_.run([this] { door_.status.pools[0].ready = 0; });
  EXPECT_EQ(status_of(""), health::HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(status_of("default"), health::HealthCheckResponse::NOT_SERVING);
}

TEST_F(HealthTest, NothingServesWhileStopping) {
  door_.run([this] { door_.status.arbiter.state = "STOPPING"; });
  EXPECT_EQ(status_of(""), health::HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(status_of("default"), health::HealthCheckResponse::NOT_SERVING);
}

TEST_F(HealthTest, UnknownPoolIsNotFound) {
  health::HealthCheckResponse response;
  EXPECT_EQ(check("nope", response).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(HealthTest, WatchTellsTheStateNowAndEachChange) {
  grpc::ClientContext context;
  limit(context);
  const auto stub = health::Health::NewStub(channel_);
  const auto reader = stub->Watch(&context, {});
  health::HealthCheckResponse response;
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_EQ(response.status(), health::HealthCheckResponse::SERVING);
  // An event without a change of health says nothing; the next message is the change.
  door_.run([this] { door_.publish({}); });
  door_.run([this] {
    door_.status.pools[0].ready = 0;
    door_.publish({});
  });
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_EQ(response.status(), health::HealthCheckResponse::NOT_SERVING);
  door_.run([this] {
    door_.status.pools[0].ready = 1;
    door_.publish({});
  });
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_EQ(response.status(), health::HealthCheckResponse::SERVING);
  door_.run([this] { door_.end_subscriptions(); });
  EXPECT_FALSE(reader->Read(&response));
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(HealthTest, WatchOfAnUnknownPoolWaitsForItToAppear) {
  grpc::ClientContext context;
  limit(context);
  health::HealthCheckRequest request;
  request.set_service("later");
  const auto stub = health::Health::NewStub(channel_);
  const auto reader = stub->Watch(&context, request);
  health::HealthCheckResponse response;
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_EQ(response.status(), health::HealthCheckResponse::SERVICE_UNKNOWN);
  door_.run([this] {
    door_.status.pools[0].name = "later";
    door_.publish({});
  });
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_EQ(response.status(), health::HealthCheckResponse::SERVING);
}

}  // namespace
}  // namespace corn::control
