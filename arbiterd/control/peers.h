// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <grpcpp/server.h>
#include <sys/types.h>

#include <cstddef>
#include <map>
#include <optional>
#include <string_view>

#include "base/unique_fd.h"

namespace corn::control {

// Who is at the other end of each connection. gRPC names a connection that it was given as a
// descriptor "fd:N", and says nothing more about it; so the kernel's answer is kept under N until N
// is given out again. Queue thread only.
//
// A call that arrived just before its connection closed may be looked up after N has a new owner.
// For it not to be taken for that one's, numbers are handed out in rotation: N comes again only
// after several hundred connections, long after the queue has passed on what came over the old one.
class Peers {
 public:
  // Hands the connection, non-blocking, to the server, which closes it. False: there are too many,
  // it was closed.
  bool adopt(grpc::Server& server, base::UniqueFd connection, uid_t uid);

  // `peer` as ServerContext::peer() has it.
  [[nodiscard]] std::optional<uid_t> uid_of(std::string_view peer) const;

 private:
  struct Peer {
    uid_t uid = 0;
    ino_t inode = 0;  // of the socket: tells whether the descriptor is still this connection
  };
  void forget_closed();

  std::map<int, Peer> peers_;
  int next_minimum_ = 0;
};

}  // namespace corn::control
