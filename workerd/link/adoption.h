// SPDX-License-Identifier: Apache-2.0
// How a worker whose arbiterd has gone is found by the next one: it connects to the instance's
// adoption socket, a SOCK_SEQPACKET socket in the runtime directory that exists only while a new
// arbiterd looks for workers, and sends what that one needs to go on. The connection is the channel
// from then on.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/channel.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace corn::link {

// What a worker offers: copies of descriptors that the arbiterd before had given to it.
struct Estate {
  std::string socket;  // path; empty: nobody is looked for
  // That of the socket, or none: a worker that has dropped privileges need not be able to walk the
  // path.
  base::UniqueFd directory;
  std::uint64_t worker_id = 0;
  // Where a worker that leaves without an order notes it, for an arbiterd that comes when it has
  // gone (arbiterd/driver/state_file.h); or none.
  base::UniqueFd departures;
  base::UniqueFd scoreboard;
  std::vector<base::UniqueFd> listeners;
  std::vector<base::UniqueFd> hand_off;  // the queue's ends, first that for sending; or none

  // Copies the descriptors, so that they stay when the server closes its own.
  static base::Result<Estate> copy(std::string socket, std::uint64_t worker_id, int scoreboard,
                                   const std::vector<int>& listeners,
                                   const std::vector<int>& hand_off);
};

// Offers the worker once. Fails, which is the usual case, when nobody listens. Doesn't block.
base::Result<base::Channel> offer(const Estate& estate, bool ready, const std::string& retiring);

}  // namespace corn::link
