// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/os/hand_off_queue.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>

namespace corn::os {

base::Result<HandOffQueue> HandOffQueue::open() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) < 0) {
    return base::fail_errno("cannot make the socket pair for passing connections on", errno);
  }
  return HandOffQueue(base::UniqueFd(ends[0]), base::UniqueFd(ends[1]));
}

}  // namespace corn::os
