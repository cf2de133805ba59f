// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include <string>
#include <string_view>

#include "arbiterd/driver/door/door.h"

namespace corn::control {

// A call's end other than OK.
struct Refusal {
  grpc::StatusCode code = grpc::StatusCode::UNKNOWN;
  std::string message;      // what failed and what to do, for a person
  std::string_view reason;  // for trailing metadata `corn-reason`, see control.proto; may be empty
};

// To be called on the thread that ends the call: puts the reason into the call's trailing metadata.
grpc::Status to_status(const Refusal& refusal, grpc::ServerContext& context);

Refusal stopping();
// While the arbiter is being upgraded in place: of a call that comes in, and of one that is open.
Refusal upgrading();
Refusal interrupted();
Refusal queue_full();
Refusal not_yet(std::string_view what);  // "cornctl dump"; "WHAT is not in this version ..."

// Of an outcome that isn't kDone.
Refusal refusal_of(const driver::CommandOutcome& outcome);

}  // namespace corn::control
