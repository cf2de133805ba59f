// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/control/call.h"

#include <string>

namespace corn::control {

Call::Call(Switchboard& board)
    : board_(board),
      started_tag_([this](bool ok) { started(ok); }),
      closed_tag_([this](bool) { closed_by_grpc(); }) {}

void Call::started(bool ok) {
  if (!ok || board_.drained)
    return;  // the server is shutting down, nobody has called; `closed` doesn't come
  static_cast<void>(closed_tag_.arm(shared_from_this()));
  offer_next_();
  if (const std::optional<Refusal> objection = this->objection()) {
    refuse(*objection);
    return;
  }
  board_.open.insert(shared_from_this());
  begun_();
}

void Call::closed_by_grpc() {
  closed_ = true;
  board_.open.erase(shared_from_this());
}

std::optional<Refusal> Call::objection() {
  const std::optional<uid_t> uid = board_.peers.uid_of(context_.peer());
  if (!uid || (*uid != 0 && *uid != board_.allowed_uid)) {
    return Refusal{grpc::StatusCode::PERMISSION_DENIED,
                   "user id " + (uid ? std::to_string(*uid) : std::string("(unknown)")) +
                       " may not control this arbiter; only user id " +
                       std::to_string(board_.allowed_uid) +
                       (board_.allowed_uid == 0 ? "" : " and root") + " may",
                   "UID_NOT_ALLOWED"};
  }
  if (board_.stopping) return board_.upgrading ? upgrading() : stopping();
  if (board_.open.size() >= kMostOpenCalls) {
    return Refusal{grpc::StatusCode::RESOURCE_EXHAUSTED,
                   "too many calls are open (" + std::to_string(kMostOpenCalls) +
                       "); nothing was done, try again when some have ended",
                   "TOO_MANY_CALLS"};
  }
  return std::nullopt;
}

}  // namespace corn::control
