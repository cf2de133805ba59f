// SPDX-License-Identifier: Apache-2.0
// The arbiter's control API on a unix socket (proto/corn/control/v1/control.proto), with the
// standard health and reflection services of gRPC beside it.
//
// Two threads of ours: one accepts connections and notes who is at the other end, one serves all
// calls. gRPC adds a few that sleep. What a call asks for goes through the door to the loop thread,
// and the answer comes back through a mailbox: no thread of this room touches the arbiter's state,
// none waits for it.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "arbiterd/driver/door/door.h"
#include "base/result.h"

namespace corn::control {

struct ControlServerOptions {
  // Where to listen; at most 107 bytes. A socket left behind at this path is replaced, one that
  // somebody answers on is not: the caller holds the instance's lock. Its directory must exist.
  std::string socket_path;
  // The instance's name, for messages.
  std::string instance;
  // Who may call besides root.
  uid_t allowed_uid = 0;
};

class ControlServer {
 public:
  // Listens and serves. To be called after daemonising (gRPC starts threads, which don't survive a
  // fork, and reads its GRPC_* environment variables then). `door` outlives the server. Fails when
  // the socket can't be made.
  static base::Result<std::unique_ptr<ControlServer>> start(const ControlServerOptions& options,
                                                            driver::Door& door);

  // stop(), if it has not been called.
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  // Answers what the door has replied to until now, ends all other calls with UNAVAILABLE, removes
  // the socket if it's still the one made by start(), and joins the threads. Takes at most about a
  // second, when clients don't read. The door may call back later; that does nothing. `upgrading`:
  // another program is to take the arbiter's place, and clients may come back at once.
  void stop(bool upgrading = false);

 private:
  class Impl;
  explicit ControlServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace corn::control
