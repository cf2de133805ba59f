// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <chrono>
#include <memory>
#include <string>

#include "corn/control/v1/control.grpc.pb.h"
#include "ctl/discovery.h"
#include "ctl/outcome.h"
#include "ctl/session.h"

namespace corn::ctl {

namespace api = ::corn::control::v1;

// A connection to one arbiter, with one time limit for all that is done over it.
class Client {
 public:
  // Finds and connects to the arbiter that the session means. `otherwise`: the command's own limit.
  static Expected<Client> connect(const Session& session, std::chrono::seconds otherwise);
  // Takes a connection that is there.
  Client(Connection connection, std::chrono::duration<double> limit);

  [[nodiscard]] api::Arbiter::Stub& arbiter() { return *stub_; }
  // Of the control socket.
  [[nodiscard]] const std::string& path() const { return path_; }

  // Puts what is left of the limit on a call. Streams that follow for ever are left without.
  void limit(grpc::ClientContext& context) const { context.set_deadline(deadline_); }

  // What to tell of a call that ended with `status`, which isn't OK.
  [[nodiscard]] Failure failure(const grpc::Status& status,
                                const grpc::ClientContext& context) const;

  // Whether a call has ended without an answer: the connection broke, or the arbiter is being
  // upgraded in place.
  static bool was_left(const grpc::Status& status, const grpc::ClientContext& context);
  // After that: connects to whoever takes the arbiter's place, if somebody is about to. What has a
  // limit keeps to it.
  bool reconnect(bool limited = true);
  // Something has come over the connection: of a stream, whose end is its call's.
  void heard() { reconnections_ = 0; }

  // Makes a call with one request and one answer that may be made again: a question, or what
  // has no further effect the second time.
  template <typename Request, typename Response>
  Expected<Response> ask(grpc::Status (api::Arbiter::Stub::*method)(grpc::ClientContext*,
                                                                    const Request&, Response*),
                         const Request& request) {
    return make(method, request, &Client::was_left);
  }

  // Makes a call with one request and one answer; again only where the first had no effect.
  template <typename Request, typename Response>
  Expected<Response> call(grpc::Status (api::Arbiter::Stub::*method)(grpc::ClientContext*,
                                                                     const Request&, Response*),
                          const Request& request) {
    return make(method, request, &Client::was_not_taken);
  }
  // Whether the arbiter, being upgraded in place, says that it hasn't begun with the call.
  static bool was_not_taken(const grpc::Status& status, const grpc::ClientContext& context);

 private:
  void take(base::UniqueFd socket);

  template <typename Request, typename Response>
  Expected<Response> make(grpc::Status (api::Arbiter::Stub::*method)(grpc::ClientContext*,
                                                                     const Request&, Response*),
                          const Request& request,
                          bool (*may_be_repeated)(const grpc::Status&,
                                                  const grpc::ClientContext&)) {
    for (;;) {
      grpc::ClientContext context;
      limit(context);
      Response response;
      const grpc::Status status = (stub_.get()->*method)(&context, request, &response);
      if (status.ok()) return response;
      if (!may_be_repeated(status, context) || !reconnect()) {
        return tl::unexpected(failure(status, context));
      }
    }
  }

  std::string path_;
  std::chrono::duration<double> limit_;
  std::chrono::system_clock::time_point deadline_;
  int reconnections_ = 0;  // since something was heard
  std::unique_ptr<api::Arbiter::Stub> stub_;
};

// `corn-reason` of the call's trailing metadata, or nothing.
std::string reason_of(const grpc::ClientContext& context);

}  // namespace corn::ctl
