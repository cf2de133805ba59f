// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/driver/adoption_socket.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/log.h"

namespace corn::driver {
namespace {

constexpr int kBacklog = 1024;

std::optional<pid_t> peer_of(int socket) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return std::nullopt;
  return credentials.pid;
}

}  // namespace

base::Result<std::unique_ptr<AdoptionSocket>> AdoptionSocket::listen(os::EventLoop& loop,
                                                                     const std::string& path,
                                                                     IsExpected is_expected,
                                                                     Done done) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return base::fail("the path " + path + " is too long for a socket", ENAMETOOLONG);
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  base::UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return base::fail_errno("cannot make the adoption socket", errno);
  ::unlink(path.c_str());
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::chmod(path.c_str(), 0666) != 0 || ::listen(socket.get(), kBacklog) != 0) {
    return base::fail_errno("cannot listen on the adoption socket " + path, errno);
  }
  std::unique_ptr<AdoptionSocket> result(
      new AdoptionSocket(loop, path, std::move(socket), std::move(is_expected), std::move(done)));
  if (auto watched = loop.watch(result->socket_.get(), EPOLLIN,
                                [raw = result.get()](std::uint32_t) { raw->on_connection(); });
      !watched) {
    return tl::unexpected(watched.error());
  }
  return result;
}

AdoptionSocket::AdoptionSocket(os::EventLoop& loop, std::string path, base::UniqueFd socket,
                               IsExpected is_expected, Done done)
    : loop_(loop),
      path_(std::move(path)),
      socket_(std::move(socket)),
      is_expected_(std::move(is_expected)),
      done_(std::move(done)) {}

AdoptionSocket::~AdoptionSocket() {
  for (const auto& [descriptor, pending] : pending_) loop_.unwatch(descriptor);
  loop_.unwatch(socket_.get());
  ::unlink(path_.c_str());
}

void AdoptionSocket::on_connection() {
  for (;;) {
    base::UniqueFd connection(
        ::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!connection) return;
    const int descriptor = connection.get();
    const auto pid = peer_of(descriptor);
    if (!pid || pending_.size() >= kMaxPending) continue;
    if (!loop_.watch(descriptor, EPOLLIN,
                     [this, descriptor](std::uint32_t) { on_offer(descriptor); })) {
      continue;
    }
    pending_.emplace(descriptor, Pending{base::Channel(std::move(connection)), *pid});
  }
}

void AdoptionSocket::on_offer(int descriptor) {
  loop_.unwatch(descriptor);
  auto taken = pending_.extract(descriptor);
  if (taken.empty()) return;
  Pending& pending = taken.mapped();
  std::vector<base::UniqueFd> descriptors;
  auto message = pending.channel.receive(descriptors);
  if (!message || !*message) return;
  auto* offer = std::get_if<base::Offer>(&**message);
  if (offer == nullptr ||
      descriptors.size() != 1 + std::size_t{offer->listeners} + (offer->hand_off ? 2U : 0U)) {
    return;
  }
  const core::WorkerId id{offer->worker_id};
  if (!is_expected_(id, pending.pid)) {
    base::log_warning("process {} offers itself as worker {}, which it isn't; ignoring",
                      pending.pid, id.value);
    return;
  }
  auto scoreboard = base::ScoreboardMap::attach(std::move(descriptors.front()));
  if (!scoreboard) {
    base::log_warning("worker {} can't be adopted: {}", pending.pid, scoreboard.error().message);
    return;
  }
  descriptors.erase(descriptors.begin());
  std::shared_ptr<const os::HandOffQueue> hand_off;
  if (offer->hand_off) {
    base::UniqueFd out = std::move(descriptors.back());
    descriptors.pop_back();
    base::UniqueFd in = std::move(descriptors.back());
    descriptors.pop_back();
    if (auto queue = os::HandOffQueue::adopt(std::move(in), std::move(out))) {
      hand_off = std::make_shared<const os::HandOffQueue>(std::move(*queue));
    }
  }
  // The worker takes any message for a welcome.
  if (!pending.channel.send(base::Ping{})) return;
  done_({id, std::move(pending.channel), std::move(*scoreboard), offer->ready,
         std::move(offer->retiring), std::move(descriptors), std::move(hand_off)});
}

}  // namespace corn::driver
