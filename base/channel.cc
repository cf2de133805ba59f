// SPDX-License-Identifier: Apache-2.0
#include "base/channel.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>

namespace corn::base {
namespace {

constexpr std::size_t kMaxDescriptors = 253;  // SCM_MAX_FD, unix(7)

}  // namespace

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

Status Channel::send(const Message& message) const { return send(message, {}); }

Status Channel::send(const Message& message, const std::vector<int>& descriptors) const {
  if (descriptors.size() > kMaxDescriptors) return fail("too many descriptors for one message");
  const auto encoded = encode(message);
  if (!encoded) return tl::unexpected(encoded.error());
  iovec bytes = {const_cast<char*>(encoded->data()), encoded->size()};
  msghdr header{};
  header.msg_iov = &bytes;
  header.msg_iovlen = 1;
  std::vector<char> control;
  if (!descriptors.empty()) {
    const std::size_t size = descriptors.size() * sizeof(int);
    control.resize(CMSG_SPACE(size));
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(size);
    std::memcpy(CMSG_DATA(rights), descriptors.data(), size);
  }
  for (;;) {
    if (::sendmsg(fd_.get(), &header, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) return {};
    if (errno == EINTR) continue;
    const int error = errno == ECONNRESET ? EPIPE : errno;
    return fail_errno("cannot send on a worker channel", error);
  }
}

Result<std::optional<Message>> Channel::receive() {
  std::vector<UniqueFd> unwanted;
  return receive(unwanted);
}

Result<std::optional<Message>> Channel::receive(std::vector<UniqueFd>& descriptors) {
  std::vector<char> buffer(kMaxMessageBytes);
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxDescriptors * sizeof(int))> control;
  iovec bytes = {buffer.data(), buffer.size()};
  msghdr header{};
  header.msg_iov = &bytes;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  ssize_t n = 0;
  do {
    n = ::recvmsg(fd_.get(), &header, MSG_CMSG_CLOEXEC);
  } while (n < 0 && errno == EINTR);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return std::nullopt;
  if (n < 0 && errno != ECONNRESET) return fail_errno("cannot receive on a worker channel", errno);
  descriptors.clear();
  for (cmsghdr* item = n >= 0 ? CMSG_FIRSTHDR(&header) : nullptr; item != nullptr;
       item = CMSG_NXTHDR(&header, item)) {
    if (item->cmsg_level != SOL_SOCKET || item->cmsg_type != SCM_RIGHTS) continue;
    std::vector<int> numbers((item->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    std::memcpy(numbers.data(), CMSG_DATA(item), numbers.size() * sizeof(int));
    for (const int number : numbers) descriptors.emplace_back(number);
  }
  if (n <= 0) return fail("the channel's peer has ended", EPIPE);
  if ((header.msg_flags & MSG_TRUNC) != 0) {
    return fail("a message over the limit was dropped", EBADMSG);
  }
  auto message = decode(std::string_view(buffer.data(), static_cast<std::size_t>(n)));
  if (!message) return fail(message.error().message, EBADMSG);
  return std::optional<Message>(std::move(*message));
}

}  // namespace corn::base
