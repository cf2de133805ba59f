// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <grpcpp/server_builder.h>

#include "arbiterd/control/call.h"
#include "grpc/health/v1/health.grpc.pb.h"

namespace corn::control {

// grpc.health.v1.Health: "" is the instance, a pool's name the pool. gRPC's own implementation
// would add two threads that wake up regularly.
class HealthService {
 public:
  [[nodiscard]] grpc::Service& service() { return service_; }

  // Offers the first call of each kind. The service, the board and the queue outlive all calls.
  void serve(Switchboard& board);

 private:
  grpc::health::v1::Health::AsyncService service_;
};

}  // namespace corn::control
