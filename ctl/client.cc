// SPDX-License-Identifier: Apache-2.0
#include "ctl/client.h"

#include <grpc/grpc.h>
#include <grpc/support/log.h>
#include <grpcpp/create_channel_posix.h>
#include <grpcpp/support/channel_arguments.h>

#include <algorithm>
#include <utility>

#include "ctl/text.h"

namespace corn::ctl {
namespace {

// The status of a thousand workers with their requests comes to some megabytes.
constexpr int kLargestResponse = 64 * 1024 * 1024;

// More in a row are no upgrade: nobody serves behind the socket.
constexpr int kMostReconnections = 3;

}  // namespace

Expected<Client> Client::connect(const Session& session, std::chrono::seconds otherwise) {
  const auto limit = session.limit(otherwise);
  auto connection = find_arbiter(session, limit);
  if (!connection) return tl::unexpected(std::move(connection).error());
  return Client(std::move(*connection), limit);
}

Client::Client(Connection connection, std::chrono::duration<double> limit)
    : path_(std::move(connection.path)),
      limit_(limit),
      deadline_(std::chrono::system_clock::now() +
                std::chrono::duration_cast<std::chrono::system_clock::duration>(limit)) {
  // What goes wrong is in the call's status; gRPC's own lines would only be in the way.
  ::gpr_set_log_function([](gpr_log_func_args*) {});
  // Never taken back: gRPC's threads end with the process, as joining them takes as long as a call.
  ::grpc_init();
  take(std::move(connection.socket));
}

void Client::take(base::UniqueFd socket) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kLargestResponse);
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  // gRPC takes over the descriptor.
  stub_ = api::Arbiter::NewStub(
      grpc::CreateCustomInsecureChannelFromFd("localhost", socket.release(), arguments));
}

Failure Client::failure(const grpc::Status& status, const grpc::ClientContext& context) const {
  const grpc::StatusCode code = status.error_code();
  if (code == grpc::StatusCode::DEADLINE_EXCEEDED) {
    return {ExitCode::kTimedOut,
            "no answer within " + seconds(limit_.count()) +
                "; what the arbiter has begun it finishes (see cornctl status; wait longer with "
                "--timeout SECONDS)"};
  }
  if (code == grpc::StatusCode::PERMISSION_DENIED) {
    return {ExitCode::kNotAllowed, status.error_message()};
  }
  if (was_left(status, context) && reason_of(context).empty()) {
    return {ExitCode::kNotReachable, "the arbiter at " + path_ + " has ended the connection"};
  }
  return {ExitCode::kFailed, status.error_message()};
}

bool Client::was_left(const grpc::Status& status, const grpc::ClientContext& context) {
  const grpc::StatusCode code = status.error_code();
  // CANCELLED is gRPC's answer to a call that comes in just when the arbiter stops.
  if (code != grpc::StatusCode::UNAVAILABLE && code != grpc::StatusCode::CANCELLED) return false;
  // With another reason it's the arbiter's answer, without one the connection's end.
  const std::string reason = reason_of(context);
  return reason.empty() || reason == "UPGRADING" || reason == "INTERRUPTED";
}

bool Client::was_not_taken(const grpc::Status& /*status*/, const grpc::ClientContext& context) {
  return reason_of(context) == "UPGRADING";
}

bool Client::reconnect(bool limited) {
  const std::chrono::duration<double> left =
      limited ? deadline_ - std::chrono::system_clock::now() : kQuickLimit;
  if (reconnections_ >= kMostReconnections || left.count() <= 0) return false;
  auto connection = connect_patiently(path_, left);
  if (!connection) return false;
  ++reconnections_;
  take(std::move(connection->socket));
  return true;
}

std::string reason_of(const grpc::ClientContext& context) {
  const auto& metadata = context.GetServerTrailingMetadata();
  const auto found = metadata.find("corn-reason");
  return found == metadata.end() ? "" : std::string(found->second.data(), found->second.size());
}

}  // namespace corn::ctl
