// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/os/hand_off_queue.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <utility>

#include "base/hand_off.h"

namespace corn::os {

base::Result<HandOffQueue> HandOffQueue::open() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) < 0) {
    return base::fail_errno("cannot make the socket pair for passing connections on", errno);
  }
  return HandOffQueue(base::UniqueFd(ends[0]), base::UniqueFd(ends[1]));
}

base::Result<HandOffQueue> HandOffQueue::adopt(base::UniqueFd in, base::UniqueFd out) {
  for (const int end : {in.get(), out.get()}) {
    int type = 0;
    socklen_t size = sizeof(type);
    if (::getsockopt(end, SOL_SOCKET, SO_TYPE, &type, &size) < 0) {
      return base::fail_errno("cannot take over a queue of connections", errno);
    }
    if (type != SOCK_DGRAM) return base::fail("what was left is no queue of connections");
  }
  return HandOffQueue(std::move(in), std::move(out));
}

void HandOffQueue::have_newcomers_looked_for() const {
  const char word = base::kLookForNewcomers;
  [[maybe_unused]] const ssize_t sent = ::send(in_.get(), &word, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

}  // namespace corn::os
