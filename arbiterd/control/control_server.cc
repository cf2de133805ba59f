// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/control/control_server.h"

#include <grpc/grpc.h>
#include <grpc/support/log.h>
#include <grpcpp/server_builder.h>
#include <pthread.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <thread>
#include <utility>

#include "arbiterd/control/acceptor.h"
#include "arbiterd/control/arbiter_service.h"
#include "arbiterd/control/call.h"
#include "arbiterd/control/control_socket.h"
#include "arbiterd/control/health_service.h"
#include "arbiterd/control/mailbox.h"
#include "arbiterd/control/reflection_service.h"
#include "base/check.h"
#include "base/log.h"

namespace corn::control {
namespace {

// Requests are names and numbers; bytes.
constexpr int kLargestRequest = 64 * 1024;
// How long stop() lets clients read their last answers.
constexpr std::chrono::seconds kStopGrace{1};
// Accepted connections on their way to the queue's thread.
constexpr int kMostUnadopted = 64;

// gRPC's complaints belong into the error log, not on standard error.
void log_from_grpc(gpr_log_func_args* entry) {
  if (entry->severity == GPR_LOG_SEVERITY_ERROR) {
    base::log_warning("control API: {}", entry->message);
  }
}

// Threads inherit the mask: signals belong to the loop thread's signalfd.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    ::sigfillset(&all);
    CORN_CHECK(::pthread_sigmask(SIG_SETMASK, &all, &before_) == 0);
  }
  ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_{};
};

}  // namespace

class ControlServer::Impl {
 public:
  Impl(const ControlServerOptions& options, driver::Door& door);

  base::Status serve(ControlSocket socket);
  void stop(bool upgrading);

 private:
  void run();
  void accepted(base::UniqueFd connection, uid_t uid);

  // Members in the order of their making: calls hold on to the services and the board, and are gone
  // when the queue is drained, which stop() sees to.
  const std::string instance_;
  ArbiterService arbiter_;
  HealthService health_;
  ReflectionService reflection_;
  std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  std::unique_ptr<grpc::Server> server_;
  std::shared_ptr<Mailbox> mailbox_;
  std::unique_ptr<Switchboard> board_;  // queue thread's, once that runs
  std::thread thread_;
  std::unique_ptr<Acceptor> acceptor_;
  std::atomic<int> unadopted_{0};
  bool running_ = false;
};

ControlServer::Impl::Impl(const ControlServerOptions& options, driver::Door& door)
    : instance_(options.instance),
      reflection_({v1::Arbiter::service_full_name(), grpc::health::v1::Health::service_full_name(),
                   grpc::reflection::v1alpha::ServerReflection::service_full_name()}) {
  grpc::ServerBuilder builder;
  builder.RegisterService(&arbiter_.service());
  builder.RegisterService(&health_.service());
  builder.RegisterService(&reflection_.service());
  builder.SetMaxReceiveMessageSize(kLargestRequest);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, static_cast<int>(kMostOpenCalls));
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE,
                             0);  // a unix socket's bandwidth is no question
  queue_ = builder.AddCompletionQueue();
  server_ = builder.BuildAndStart();
  CORN_CHECK(server_ != nullptr);  // it has no port that could be taken
  mailbox_ = std::make_shared<Mailbox>(*queue_);
  board_ = std::make_unique<Switchboard>(door, mailbox_, *queue_, options.allowed_uid);
}

base::Status ControlServer::Impl::serve(ControlSocket socket) {
  running_ = true;
  thread_ = std::thread([this] { run(); });
  auto acceptor = Acceptor::start(std::move(socket), [this](base::UniqueFd connection, uid_t uid) {
    accepted(std::move(connection), uid);
  });
  if (!acceptor) return tl::unexpected(std::move(acceptor).error());
  acceptor_ = std::move(*acceptor);
  return {};
}

void ControlServer::Impl::run() {
  ::pthread_setname_np(::pthread_self(), "control");
  arbiter_.serve(*board_);
  health_.serve(*board_);
  reflection_.serve(*board_);
  void* tag = nullptr;
  bool ok = false;
  while (queue_->Next(&tag, &ok)) static_cast<Tag*>(tag)->complete(ok);
  board_->open.clear();
}

void ControlServer::Impl::accepted(base::UniqueFd connection, uid_t uid) {
  if (unadopted_.fetch_add(1) >= kMostUnadopted) {
    unadopted_.fetch_sub(1);
    return;
  }
  // A std::function must be copyable.
  const auto shared = std::make_shared<base::UniqueFd>(std::move(connection));
  mailbox_->post([this, shared, uid] {
    unadopted_.fetch_sub(1);
    if (board_->stopping) return;
    if (!board_->peers.adopt(*server_, std::move(*shared), uid)) {
      base::log_warning("instance {} has too many control connections; closing a new one",
                        instance_);
    }
  });
}

void ControlServer::Impl::stop(bool upgrading) {
  if (!std::exchange(running_, false)) return;
  acceptor_.reset();
  mailbox_->post([this, upgrading] {
    board_->stopping = true;
    board_->upgrading = upgrading;
    const std::set<std::shared_ptr<Call>> open = board_->open;
    for (const std::shared_ptr<Call>& call : open) {
      call->refuse(upgrading ? interrupted() : stopping());
    }
  });
  server_->Shutdown(std::chrono::system_clock::now() + kStopGrace);
  // On the queue's own thread, so that it isn't about to start something there: gRPC aborts at
  // that.
  mailbox_->post_last([this] {
    board_->drained = true;
    queue_->Shutdown();
  });
  thread_.join();
}

base::Result<std::unique_ptr<ControlServer>> ControlServer::start(
    const ControlServerOptions& options, driver::Door& door) {
  auto socket = ControlSocket::listen(options.socket_path);
  if (!socket) return tl::unexpected(std::move(socket).error());

  const SignalsBlocked signals_blocked;
  ::gpr_set_log_function(log_from_grpc);
  auto impl = std::make_unique<Impl>(options, door);
  std::unique_ptr<ControlServer> server(new ControlServer(std::move(impl)));
  if (auto serving = server->impl_->serve(std::move(*socket)); !serving) {
    return tl::unexpected(std::move(serving).error());
  }
  return server;
}

ControlServer::ControlServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

ControlServer::~ControlServer() { stop(); }

void ControlServer::stop(bool upgrading) { impl_->stop(upgrading); }

}  // namespace corn::control
