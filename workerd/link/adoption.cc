// SPDX-License-Identifier: Apache-2.0
#include "workerd/link/adoption.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace corn::link {
namespace {

base::Result<base::UniqueFd> copy_of(int descriptor) {
  base::UniqueFd copy(::fcntl(descriptor, F_DUPFD_CLOEXEC, 0));
  if (!copy) return base::fail_errno("cannot copy a descriptor", errno);
  return copy;
}

base::Result<base::UniqueFd> connect_to(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return base::fail("the adoption socket's path is too long", ENAMETOOLONG);
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  base::UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return base::fail_errno("socket", errno);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return base::fail_errno("connect " + path, errno);
  }
  return socket;
}

base::Result<base::UniqueFd> connect_to(const Estate& estate) {
  if (estate.directory) {
    auto socket = connect_to("/proc/self/fd/" + std::to_string(estate.directory.get()) +
                             estate.socket.substr(estate.socket.rfind('/')));
    if (socket) return socket;
  }
  // Without /proc, and where the directory was made anew.
  return connect_to(estate.socket);
}

}  // namespace

base::Result<Estate> Estate::copy(std::string socket, std::uint64_t worker_id, int scoreboard,
                                  const std::vector<int>& listeners,
                                  const std::vector<int>& hand_off) {
  Estate estate;
  estate.socket = std::move(socket);
  estate.worker_id = worker_id;
  auto board = copy_of(scoreboard);
  if (!board) return tl::unexpected(board.error());
  estate.scoreboard = std::move(*board);
  for (const int listener : listeners) {
    auto copied = copy_of(listener);
    if (!copied) return tl::unexpected(copied.error());
    estate.listeners.push_back(std::move(*copied));
  }
  for (const int end : hand_off) {
    auto copied = copy_of(end);
    if (!copied) return tl::unexpected(copied.error());
    estate.hand_off.push_back(std::move(*copied));
  }
  return estate;
}

base::Result<base::Channel> offer(const Estate& estate, bool ready, const std::string& retiring) {
  auto connected = connect_to(estate);
  if (!connected) return tl::unexpected(connected.error());
  base::UniqueFd socket = std::move(*connected);
  // As the channel that arbiterd makes: send() never blocks, receive() is preceded by poll(2).
  if (::fcntl(socket.get(), F_SETFL, 0) != 0) return base::fail_errno("fcntl", errno);
  base::Channel channel(std::move(socket));
  base::Offer message;
  message.worker_id = estate.worker_id;
  message.ready = ready;
  message.retiring = retiring;
  std::vector<int> descriptors{estate.scoreboard.get()};
  for (const base::UniqueFd& listener : estate.listeners) {
    if (message.listeners == base::kMaxOfferedListeners) break;
    descriptors.push_back(listener.get());
    ++message.listeners;
  }
  message.hand_off = !estate.hand_off.empty();
  for (const base::UniqueFd& end : estate.hand_off) descriptors.push_back(end.get());
  if (auto sent = channel.send(message, descriptors); !sent) return tl::unexpected(sent.error());
  return channel;
}

}  // namespace corn::link
