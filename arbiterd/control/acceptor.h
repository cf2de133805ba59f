// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <thread>

#include "arbiterd/control/control_socket.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace corn::control {

// Accepts connections on a thread of its own, since gRPC doesn't tell who connects to a socket it
// listens on itself. Asleep unless somebody connects.
class Acceptor {
 public:
  // A new connection, non-blocking, and the uid of the process that made it. Called on the
  // acceptor's thread.
  using Accepted = std::function<void(base::UniqueFd connection, uid_t uid)>;

  // Fails when no event descriptor is to be had.
  static base::Result<std::unique_ptr<Acceptor>> start(ControlSocket socket, Accepted accepted);

  // Stops accepting, joins the thread and closes the socket.
  ~Acceptor();
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;

 private:
  Acceptor(ControlSocket socket, base::UniqueFd stop, Accepted accepted);
  void run();
  void accept_all();

  // Constant after construction.
  ControlSocket socket_;
  base::UniqueFd stop_;  // an eventfd, readable when the thread is to end
  Accepted accepted_;
  std::thread thread_;

  bool out_of_descriptors_ = false;  // acceptor's thread only
};

}  // namespace corn::control
