// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <grpcpp/server_builder.h>

#include <string>
#include <vector>

#include "arbiterd/control/call.h"
#include "grpc/reflection/v1alpha/reflection.grpc.pb.h"

namespace corn::control {

// grpc.reflection.v1alpha.ServerReflection, from the descriptors that the generated code brings
// along. libgrpc++_reflection has the same, but on gRPC's synchronous server, with threads of its
// own and callers unchecked.
class ReflectionService {
 public:
  // `services`: full names of all that the server offers.
  explicit ReflectionService(std::vector<std::string> services) : services_(std::move(services)) {}

  [[nodiscard]] grpc::Service& service() { return service_; }

  // Offers the first call. The service, the board and the queue outlive all calls.
  void serve(Switchboard& board);

 private:
  grpc::reflection::v1alpha::ServerReflection::AsyncService service_;
  const std::vector<std::string> services_;
};

}  // namespace corn::control
