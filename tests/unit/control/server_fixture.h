// SPDX-License-Identifier: Apache-2.0
// A real control server over a unix socket in a directory of its own, in front of a fake door, and
// a client.
#pragma once

#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>

#include "arbiterd/control/control_server.h"
#include "corn/control/v1/control.grpc.pb.h"
#include "fake_door.h"

namespace corn::control {

namespace api = ::corn::control::v1;

class ServerTest : public ::testing::Test {
 protected:
  ServerTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "corn-control-XXXXXX").string();
    directory_ = ::mkdtemp(pattern.data());
    socket_path_ = directory_ + "/hello.sock";
  }
  ~ServerTest() override {
    if (server_) server_->stop();
    std::filesystem::remove_all(directory_);
  }

  void SetUp() override { start(::getuid()); }
  void TearDown() override {
    door_.run([] {});  // the loop thread is done with what the test owns
  }

  void start(uid_t allowed_uid) {
    auto server = ControlServer::start({socket_path_, "hello", allowed_uid}, door_);
    ASSERT_TRUE(server) << server.error().message;
    server_ = std::move(*server);
    channel_ = new_channel();
    arbiter_ = api::Arbiter::NewStub(channel_);
  }

  // A connection of its own.
  [[nodiscard]] std::shared_ptr<grpc::Channel> new_channel() const {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return grpc::CreateCustomChannel("unix:" + socket_path_, grpc::InsecureChannelCredentials(),
                                     arguments);
  }

  // No call of these tests takes long; a hang is to fail here, not at the time limit of the
  // program.
  static void limit(grpc::ClientContext& context) {
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  }

  static std::string reason(const grpc::ClientContext& context) {
    const auto& metadata = context.GetServerTrailingMetadata();
    const auto found = metadata.find("corn-reason");
    return found == metadata.end() ? "" : std::string(found->second.data(), found->second.size());
  }

  std::string directory_;
  std::string socket_path_;
  FakeDoor door_;
  std::unique_ptr<ControlServer> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<api::Arbiter::Stub> arbiter_;
};

}  // namespace corn::control
