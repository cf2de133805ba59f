// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/descriptor.pb.h>

#include <set>

#include "grpc/reflection/v1alpha/reflection.grpc.pb.h"
#include "server_fixture.h"

namespace corn::control {
namespace {

namespace reflection = ::grpc::reflection::v1alpha;

class ReflectionTest : public ServerTest {
 protected:
  void SetUp() override {
    ServerTest::SetUp();
    limit(context_);
    stub_ = reflection::ServerReflection::NewStub(channel_);
    stream_ = stub_->ServerReflectionInfo(&context_);
  }

  reflection::ServerReflectionResponse ask(const reflection::ServerReflectionRequest& request) {
    reflection::ServerReflectionResponse response;
    EXPECT_TRUE(stream_->Write(request));
    EXPECT_TRUE(stream_->Read(&response));
    return response;
  }

  grpc::ClientContext context_;
  std::unique_ptr<reflection::ServerReflection::Stub> stub_;
  std::unique_ptr<grpc::ClientReaderWriter<reflection::ServerReflectionRequest,
                                           reflection::ServerReflectionResponse>>
      stream_;
};

TEST_F(ReflectionTest, ListsAllServices) {
  reflection::ServerReflectionRequest request;
  request.set_list_services("");
  std::set<std::string> names;
  const auto response = ask(request);
  for (const auto& service : response.list_services_response().service()) {
    names.insert(service.name());
  }
  EXPECT_EQ(names, (std::set<std::string>{"corn.control.v1.Arbiter", "grpc.health.v1.Health",
                                          "grpc.reflection.v1alpha.ServerReflection"}));
}

TEST_F(ReflectionTest, GivesTheFileOfASymbolWithAllItImports) {
  reflection::ServerReflectionRequest request;
  request.set_file_containing_symbol("corn.control.v1.Arbiter");
  std::set<std::string> names;
  const auto response = ask(request);
  for (const std::string& bytes : response.file_descriptor_response().file_descriptor_proto()) {
    google::protobuf::FileDescriptorProto file;
    ASSERT_TRUE(file.ParseFromString(bytes));
    names.insert(file.name());
  }
  EXPECT_EQ(names, (std::set<std::string>{"corn/control/v1/control.proto",
                                          "google/protobuf/duration.proto",
                                          "google/protobuf/timestamp.proto"}));
}

TEST_F(ReflectionTest, AnswersEveryQuestionOfAStreamInTurn) {
  reflection::ServerReflectionRequest file;
  file.set_file_by_filename("grpc/health/v1/health.proto");
  EXPECT_EQ(ask(file).file_descriptor_response().file_descriptor_proto_size(), 1);

  reflection::ServerReflectionRequest unknown;
  unknown.set_file_by_filename("nope.proto");
  EXPECT_EQ(ask(unknown).error_response().error_code(), grpc::StatusCode::NOT_FOUND);

  reflection::ServerReflectionRequest numbers;
  numbers.set_all_extension_numbers_of_type("corn.control.v1.Event");
  EXPECT_EQ(ask(numbers).all_extension_numbers_response().base_type_name(),
            "corn.control.v1.Event");

  reflection::ServerReflectionRequest extension;
  extension.mutable_file_containing_extension()->set_containing_type("corn.control.v1.Event");
  extension.mutable_file_containing_extension()->set_extension_number(1000);
  EXPECT_EQ(ask(extension).error_response().error_code(), grpc::StatusCode::NOT_FOUND);

  EXPECT_EQ(ask({}).error_response().error_code(), grpc::StatusCode::INVALID_ARGUMENT);

  stream_->WritesDone();
  EXPECT_TRUE(stream_->Finish().ok());
}

}  // namespace
}  // namespace corn::control
