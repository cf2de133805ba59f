// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/control/refusal.h"

#include "arbiterd/control/text.h"

namespace corn::control {
namespace {

grpc::StatusCode code_of(core::ReplyCode code) {
  switch (code) {
    case core::ReplyCode::kDone:
      return grpc::StatusCode::OK;
    case core::ReplyCode::kNotFound:
      return grpc::StatusCode::NOT_FOUND;
    case core::ReplyCode::kInvalidArgument:
      return grpc::StatusCode::INVALID_ARGUMENT;
    case core::ReplyCode::kFailedPrecondition:
      return grpc::StatusCode::FAILED_PRECONDITION;
    case core::ReplyCode::kUnavailable:
      return grpc::StatusCode::UNAVAILABLE;
    case core::ReplyCode::kAborted:
      return grpc::StatusCode::ABORTED;
  }
  return grpc::StatusCode::UNKNOWN;
}

}  // namespace

grpc::Status to_status(const Refusal& refusal, grpc::ServerContext& context) {
  if (!refusal.reason.empty()) {
    context.AddTrailingMetadata("corn-reason", std::string(refusal.reason));
  }
  return {refusal.code, status_text(refusal.message)};
}

Refusal stopping() {
  return {grpc::StatusCode::UNAVAILABLE, "the arbiter is shutting down", "STOPPING"};
}

Refusal upgrading() {
  return {grpc::StatusCode::UNAVAILABLE,
          "the arbiter is being upgraded in place; nothing was done, try again", "UPGRADING"};
}

Refusal interrupted() {
  return {grpc::StatusCode::UNAVAILABLE,
          "the arbiter is being upgraded in place; what it has begun goes on (see cornctl status)",
          "INTERRUPTED"};
}

Refusal queue_full() {
  return {grpc::StatusCode::UNAVAILABLE,
          "the arbiter takes no more commands at the moment; nothing was done, try again",
          "QUEUE_FULL"};
}

Refusal not_yet(std::string_view what) {
  return {grpc::StatusCode::UNIMPLEMENTED,
          std::string(what) + " is not in this version of Corn (" CORN_VERSION ") yet", "NOT_YET"};
}

Refusal refusal_of(const driver::CommandOutcome& outcome) {
  Refusal refusal{code_of(outcome.code), outcome.text, {}};
  if (outcome.code == core::ReplyCode::kUnavailable) refusal.reason = "STOPPING";
  return refusal;
}

}  // namespace corn::control
