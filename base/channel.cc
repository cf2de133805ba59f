// SPDX-License-Identifier: Apache-2.0
#include "base/channel.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>
#include <vector>

namespace corn::base {

Result<std::pair<Channel, Channel>> Channel::make_pair() {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0) {
    return fail_errno("cannot make a worker channel", errno);
  }
  UniqueFd ours(fds[0]);
  UniqueFd theirs(fds[1]);
  if (::fcntl(ours.get(), F_SETFL, O_NONBLOCK) < 0) {
    return fail_errno("cannot make a worker channel non-blocking", errno);
  }
  return std::pair(Channel(std::move(ours)), Channel(std::move(theirs)));
}

Status Channel::send(const Message& message) const {
  const auto encoded = encode(message);
  if (!encoded) return tl::unexpected(encoded.error());
  const std::string& bytes = *encoded;
  for (;;) {
    const ssize_t n = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n >= 0) return {};
    if (errno == EINTR) continue;
    const int error = errno == ECONNRESET ? EPIPE : errno;
    return fail_errno("cannot send on a worker channel", error);
  }
}

Result<std::optional<Message>> Channel::receive() {
  std::vector<char> buffer(kMaxMessageBytes);
  ssize_t n = 0;
  do {
    n = ::recv(fd_.get(), buffer.data(), buffer.size(), MSG_TRUNC);
  } while (n < 0 && errno == EINTR);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return std::nullopt;
  if (n == 0 || (n < 0 && errno == ECONNRESET)) {
    return fail("the channel's peer has ended", EPIPE);
  }
  if (n < 0) return fail_errno("cannot receive on a worker channel", errno);
  if (static_cast<std::size_t>(n) > buffer.size()) {
    return fail("a message over the limit was dropped", EBADMSG);
  }
  auto message = decode(std::string_view(buffer.data(), static_cast<std::size_t>(n)));
  if (!message) return fail(message.error().message, EBADMSG);
  return std::optional<Message>(std::move(*message));
}

}  // namespace corn::base
