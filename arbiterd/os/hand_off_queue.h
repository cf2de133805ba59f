// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.h"
#include "base/unique_fd.h"

namespace corn::os {

// A pool's queue of client connections on their way from one worker to another: a pair of connected
// unix datagram sockets (socketpair(2)), which workers inherit. arbiterd passes no connection on;
// it holds both ends so that what the last worker has put in is there for the next one. Its depth
// is that of a socket's send buffer (net.core.wmem_default), some hundred connections, each of
// which counts against the sender's RLIMIT_NOFILE while it waits (unix(7)). CLOEXEC and
// non-blocking.
class HandOffQueue {
 public:
  static base::Result<HandOffQueue> open();
  // Takes over the ends of one that is there, after checking that they are datagram sockets.
  static base::Result<HandOffQueue> adopt(base::UniqueFd in, base::UniqueFd out);

  // Has a worker with capacity look whether somebody waits to be accepted: the worker that the
  // kernel had told so has gone (EPOLLEXCLUSIVE tells one only, epoll_ctl(2)). Without room nothing
  // happens: who empties the queue is awake.
  void have_newcomers_looked_for() const;

  // What is sent here ...
  [[nodiscard]] int in() const { return in_.get(); }
  // ... is received here.
  [[nodiscard]] int out() const { return out_.get(); }

 private:
  HandOffQueue(base::UniqueFd in, base::UniqueFd out) : in_(std::move(in)), out_(std::move(out)) {}

  base::UniqueFd in_;
  base::UniqueFd out_;
};

}  // namespace corn::os
