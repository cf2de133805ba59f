// SPDX-License-Identifier: Apache-2.0
#include "workerd/server/hand_off.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/bytes.h"
#include "base/hand_off.h"
#include "base/log.h"
#include "workerd/server/fork_fence.h"

namespace corn::server {
namespace {

constexpr std::uint16_t kTicketVersion = 1;

constexpr std::uint8_t kUnixListener = 1;
constexpr std::uint8_t kFirstRequest = 2;
constexpr std::uint8_t kProxyExpected = 4;
constexpr std::uint8_t kHasProxy = 8;

// The ticket as it travels.
struct Wire {
  std::uint16_t version = kTicketVersion;
  std::uint8_t flags = 0;
  std::uint64_t since = 0;  // nanoseconds
  std::string url;
  std::string host;
  std::uint16_t port = 0;
  std::int32_t proxy_version = 0;
  std::string protocol;
  std::string client_address;
  std::uint16_t client_port = 0;
  std::string proxy_address;
  std::uint16_t proxy_port = 0;
};

template <class Archive>
void fields(Archive& a, Wire& v) {
  a(v.version), a(v.flags), a(v.since), a(v.url), a(v.host), a(v.port);
  a(v.proxy_version), a(v.protocol), a(v.client_address), a(v.client_port), a(v.proxy_address);
  a(v.proxy_port);
}

// Room for the one descriptor that a datagram carries.
union Control {
  cmsghdr header;
  std::array<char, CMSG_SPACE(sizeof(int))> bytes;
};

// The descriptor that came with a message, which may carry none.
base::UniqueFd descriptor_of(msghdr& message) {
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
      header->cmsg_len != CMSG_LEN(sizeof(int))) {
    return {};
  }
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(header), sizeof(fd));
  return base::UniqueFd(fd);
}

bool is_stream_socket(int fd) {
  int type = 0;
  socklen_t size = sizeof(type);
  return ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
}

// The engine's sockets never block. A stranger's would hang the worker.
bool make_non_blocking(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  return flags >= 0 && ((flags & O_NONBLOCK) != 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0);
}

}  // namespace

std::string encode_ticket(const HandOffTicket& ticket) {
  Wire wire;
  const auto flag = [&wire](bool set, std::uint8_t bit) {
    if (set) wire.flags = static_cast<std::uint8_t>(wire.flags | bit);
  };
  flag(ticket.listener.unix_socket, kUnixListener);
  flag(ticket.first_request, kFirstRequest);
  flag(ticket.proxy_expected, kProxyExpected);
  flag(ticket.proxy.has_value(), kHasProxy);
  wire.since = base::to_nanoseconds(ticket.since);
  wire.url = ticket.listener.url;
  wire.host = ticket.listener.host;
  wire.port = ticket.listener.port;
  if (ticket.proxy) {
    wire.proxy_version = ticket.proxy->version;
    wire.protocol = ticket.proxy->protocol;
    wire.client_address = ticket.proxy->client_address;
    wire.client_port = ticket.proxy->client_port;
    wire.proxy_address = ticket.proxy->proxy_address;
    wire.proxy_port = ticket.proxy->proxy_port;
  }
  base::ByteWriter writer;
  writer(wire);
  return writer.take();
}

base::Result<HandOffTicket> decode_ticket(std::string_view bytes) {
  Wire wire;
  base::ByteReader(bytes.substr(0, sizeof(wire.version)))(wire.version);
  if (wire.version != kTicketVersion) {
    return base::fail(
        fmt::format("a ticket of version {}; {} is understood", wire.version, kTicketVersion));
  }
  base::ByteReader reader(bytes);
  reader(wire);
  if (!reader.complete()) return base::fail("a malformed ticket");
  HandOffTicket ticket;
  const auto is_set = [&wire](std::uint8_t bit) { return (wire.flags & bit) != 0; };
  ticket.listener = {std::move(wire.url), std::move(wire.host), wire.port, is_set(kUnixListener)};
  ticket.first_request = is_set(kFirstRequest);
  ticket.proxy_expected = is_set(kProxyExpected);
  ticket.since = base::from_nanoseconds(wire.since);
  if (is_set(kHasProxy)) {
    ticket.proxy = http::ProxyHeader{
        wire.proxy_version, std::move(wire.protocol),      std::move(wire.client_address),
        wire.client_port,   std::move(wire.proxy_address), wire.proxy_port};
  }
  return ticket;
}

HandOff::HandOff(HandOffEnds ends, std::uint64_t event_id)
    : ends_(std::move(ends)), event_id_(event_id) {
  for (const int fd : {ends_.in.get(), ends_.out.get()}) close_in_forks(fd);
}

HandOff::~HandOff() {
  for (const int fd : {ends_.in.get(), ends_.out.get()}) open_across_forks(fd);
}

void HandOff::watch(bool wanted) {
  if (wanted == watching_ || !usable()) return;
  watching_ = wanted;
  epoll_event event{};
  event.events = EPOLLIN | EPOLLEXCLUSIVE;
  event.data.u64 = event_id_;
  const int operation = wanted ? EPOLL_CTL_ADD : EPOLL_CTL_DEL;
  if (::epoll_ctl(epoll_, operation, ends_.out.get(), &event) < 0) {
    base::log_error("cannot {} the queue of handed-over connections: {}",
                    wanted ? "watch" : "stop watching", std::strerror(errno));
  }
}

bool HandOff::send(int socket, const HandOffTicket& ticket) {
  std::string bytes = encode_ticket(ticket);
  if (bytes.size() > kMaxTicketBytes) return false;
  iovec vector{bytes.data(), bytes.size()};
  Control control{};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes.data();
  message.msg_controllen = control.bytes.size();
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(header), &socket, sizeof(socket));
  for (;;) {
    if (::sendmsg(ends_.in.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) return true;
    if (errno != EINTR) return false;
  }
}

void HandOff::tell_of_newcomers() {
  if (!usable()) return;
  const char word = base::kLookForNewcomers;
  [[maybe_unused]] const ssize_t sent =
      ::send(ends_.in.get(), &word, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

base::Result<std::optional<HandOff::Arrival>> HandOff::receive() {
  for (;;) {
    // Without a free descriptor recvmsg(2) would take the datagram and drop the connection.
    base::UniqueFd spare(::fcntl(ends_.out.get(), F_DUPFD_CLOEXEC, 0));
    if (!spare) return base::fail_errno("cannot take over a connection", errno);
    spare.reset();
    std::array<char, kMaxTicketBytes> bytes;
    iovec vector{bytes.data(), bytes.size()};
    Control control{};
    msghdr message{};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    message.msg_control = control.bytes.data();
    message.msg_controllen = control.bytes.size();
    const ssize_t size = ::recvmsg(ends_.out.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return std::nullopt;

    base::UniqueFd socket = descriptor_of(message);
    if (size == 1 && bytes[0] == base::kLookForNewcomers && !socket) return Arrival{};
    auto ticket = decode_ticket({bytes.data(), static_cast<std::size_t>(size)});
    if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 || !socket || !ticket ||
        !is_stream_socket(socket.get()) || !make_non_blocking(socket.get())) {
      base::log_error("what another worker has handed over is no connection: {}; it is closed",
                      ticket ? "no socket came with it" : ticket.error().message);
      continue;
    }
    return Arrival{std::move(socket), std::move(*ticket)};
  }
}

}  // namespace corn::server
