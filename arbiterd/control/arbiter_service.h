// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <grpcpp/server_builder.h>

#include "arbiterd/control/call.h"
#include "corn/control/v1/control.grpc.pb.h"

namespace corn::control {

// corn.control.v1.Arbiter.
class ArbiterService {
 public:
  [[nodiscard]] grpc::Service& service() { return service_; }

  // Offers the first call of each kind. The service, the board and the queue outlive all calls.
  void serve(Switchboard& board);

 private:
  v1::Arbiter::AsyncService service_;
};

}  // namespace corn::control
