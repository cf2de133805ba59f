// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/control/acceptor.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/log.h"

namespace corn::control {
namespace {

// How long no connection is accepted when there are no descriptors left for one; milliseconds.
constexpr int kPause = 100;

}  // namespace

base::Result<std::unique_ptr<Acceptor>> Acceptor::start(ControlSocket socket, Accepted accepted) {
  base::UniqueFd stop(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop) return base::fail_errno("cannot make an event descriptor", errno);
  return std::unique_ptr<Acceptor>(
      new Acceptor(std::move(socket), std::move(stop), std::move(accepted)));
}

Acceptor::Acceptor(ControlSocket socket, base::UniqueFd stop, Accepted accepted)
    : socket_(std::move(socket)), stop_(std::move(stop)), accepted_(std::move(accepted)) {
  thread_ = std::thread([this] { run(); });
}

Acceptor::~Acceptor() {
  // Can't fail: the counter is far from its limit.
  static_cast<void>(::eventfd_write(stop_.get(), 1));
  thread_.join();
}

void Acceptor::run() {
  ::pthread_setname_np(::pthread_self(), "control-accept");
  pollfd watched[] = {{.fd = stop_.get(), .events = POLLIN, .revents = 0},
                      {.fd = socket_.descriptor(), .events = POLLIN, .revents = 0}};
  for (;;) {
    if (::poll(watched, 2, -1) < 0)
      continue;  // EINTR: signals are blocked here, but a debugger's stop
    if (watched[0].revents != 0) return;
    accept_all();
  }
}

void Acceptor::accept_all() {
  for (;;) {
    base::UniqueFd connection(
        ::accept4(socket_.descriptor(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!connection) {
      if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) return;
      if (!std::exchange(out_of_descriptors_, true)) {
        base::log_warning("cannot accept control connections: {}; going on trying",
                          std::strerror(errno));
      }
      pollfd stop{.fd = stop_.get(), .events = POLLIN, .revents = 0};
      static_cast<void>(::poll(&stop, 1, kPause));
      return;
    }
    out_of_descriptors_ = false;
    ucred credentials{};
    socklen_t size = sizeof credentials;
    if (::getsockopt(connection.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
      base::log_warning("cannot tell who made a control connection: {}; closing it",
                        std::strerror(errno));
      continue;
    }
    accepted_(std::move(connection), credentials.uid);
  }
}

}  // namespace corn::control
