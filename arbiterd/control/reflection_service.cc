// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/control/reflection_service.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include <memory>
#include <optional>
#include <set>
#include <utility>

namespace corn::control {
namespace {

namespace reflection = ::grpc::reflection::v1alpha;
using google::protobuf::Descriptor;
using google::protobuf::DescriptorPool;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;

// `file` and all that it imports, each once, imports after their importer.
void add_files(const FileDescriptor& file, std::set<const FileDescriptor*>& added,
               reflection::FileDescriptorResponse& response) {
  if (!added.insert(&file).second) return;
  google::protobuf::FileDescriptorProto proto;
  file.CopyTo(&proto);
  proto.SerializeToString(response.add_file_descriptor_proto());
  for (int i = 0; i < file.dependency_count(); ++i) add_files(*file.dependency(i), added, response);
}

void answer_file(const FileDescriptor* file, const std::string& what,
                 reflection::ServerReflectionResponse& response) {
  if (file == nullptr) {
    response.mutable_error_response()->set_error_code(grpc::StatusCode::NOT_FOUND);
    response.mutable_error_response()->set_error_message(what + " is not known here");
    return;
  }
  std::set<const FileDescriptor*> added;
  add_files(*file, added, *response.mutable_file_descriptor_response());
}

const FileDescriptor* file_of_extension(const DescriptorPool& pool,
                                        const reflection::ExtensionRequest& request) {
  const Descriptor* type = pool.FindMessageTypeByName(request.containing_type());
  if (type == nullptr) return nullptr;
  const FieldDescriptor* extension = pool.FindExtensionByNumber(type, request.extension_number());
  return extension == nullptr ? nullptr : extension->file();
}

void answer_extension_numbers(const DescriptorPool& pool, const std::string& type_name,
                              reflection::ServerReflectionResponse& response) {
  const Descriptor* type = pool.FindMessageTypeByName(type_name);
  if (type == nullptr) {
    answer_file(nullptr, type_name, response);
    return;
  }
  std::vector<const FieldDescriptor*> extensions;
  pool.FindAllExtensions(type, &extensions);
  auto& numbers = *response.mutable_all_extension_numbers_response();
  numbers.set_base_type_name(type_name);
  for (const FieldDescriptor* extension : extensions) {
    numbers.add_extension_number(extension->number());
  }
}

reflection::ServerReflectionResponse answer(const reflection::ServerReflectionRequest& request,
                                            const std::vector<std::string>& services) {
  using Request = reflection::ServerReflectionRequest;
  const DescriptorPool& pool = *DescriptorPool::generated_pool();
  reflection::ServerReflectionResponse response;
  response.set_valid_host(request.host());
  *response.mutable_original_request() = request;
  switch (request.message_request_case()) {
    case Request::kFileByFilename:
      answer_file(pool.FindFileByName(request.file_by_filename()), request.file_by_filename(),
                  response);
      break;
    case Request::kFileContainingSymbol:
      answer_file(pool.FindFileContainingSymbol(request.file_containing_symbol()),
                  request.file_containing_symbol(), response);
      break;
    case Request::kFileContainingExtension:
      answer_file(file_of_extension(pool, request.file_containing_extension()), "the extension",
                  response);
      break;
    case Request::kAllExtensionNumbersOfType:
      answer_extension_numbers(pool, request.all_extension_numbers_of_type(), response);
      break;
    case Request::kListServices:
      for (const std::string& service : services) {
        response.mutable_list_services_response()->add_service()->set_name(service);
      }
      break;
    case Request::MESSAGE_REQUEST_NOT_SET:
      response.mutable_error_response()->set_error_code(grpc::StatusCode::INVALID_ARGUMENT);
      response.mutable_error_response()->set_error_message("the request asks for nothing");
      break;
  }
  return response;
}

// Reads a question, writes the answer, and so on, until the client says that it has no more.
class ReflectionCall final : public Call {
 public:
  ReflectionCall(Switchboard& board, const std::vector<std::string>& services)
      : Call(board),
        services_(services),
        stream_(&context()),
        read_tag_([this](bool ok) { read(ok); }),
        written_tag_([this](bool ok) { written(ok); }),
        finished_tag_([](bool) {}) {}

  static void serve(Switchboard& board, reflection::ServerReflection::AsyncService& service,
                    const std::vector<std::string>& services) {
    const auto call = std::make_shared<ReflectionCall>(board, services);
    call->request(
        [&](grpc::ServerContext* context, void* tag) {
          service.RequestServerReflectionInfo(context, &call->stream_, &board.queue, &board.queue,
                                              tag);
        },
        [&board, &service, &services] { serve(board, service, services); },
        [call = call.get()] { call->read_next(); });
  }

  void refuse(const Refusal& refusal) override { end(to_status(refusal, context())); }

 private:
  void read_next() { stream_.Read(&question_, read_tag_.arm(shared_from_this())); }

  void read(bool ok) {
    if (closed() || end_) return;
    if (!ok) {
      end(grpc::Status::OK);
      return;
    }
    writing_ = true;
    stream_.Write(answer(question_, services_), written_tag_.arm(shared_from_this()));
  }

  void written(bool ok) {
    writing_ = false;
    if (!ok || closed()) return;
    if (end_) {
      stream_.Finish(*end_, finished_tag_.arm(shared_from_this()));
    } else {
      read_next();
    }
  }

  // Waits for the answer being written, if any: one write at a time.
  void end(const grpc::Status& status) {
    if (closed() || end_) return;
    end_ = status;
    if (!writing_) stream_.Finish(status, finished_tag_.arm(shared_from_this()));
  }

  const std::vector<std::string>& services_;
  grpc::ServerAsyncReaderWriter<reflection::ServerReflectionResponse,
                                reflection::ServerReflectionRequest>
      stream_;
  Tag read_tag_;
  Tag written_tag_;
  Tag finished_tag_;
  reflection::ServerReflectionRequest question_;
  std::optional<grpc::Status> end_;
  bool writing_ = false;
};

}  // namespace

void ReflectionService::serve(Switchboard& board) {
  ReflectionCall::serve(board, service_, services_);
}

}  // namespace corn::control
