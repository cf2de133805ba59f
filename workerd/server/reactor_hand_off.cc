// SPDX-License-Identifier: Apache-2.0
// The loop's part in passing connections from worker to worker; see hand_off.h.
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "workerd/server/reactor.h"

namespace corn::server {
namespace {

// When a full queue is tried again.
constexpr base::Duration kHandOffPause = std::chrono::milliseconds(20);
// Nothing has gone into the queue for so long: nobody can be expected to take what is here.
constexpr base::Duration kStalledAfter = std::chrono::seconds(3);
// Before the end of the grace, so that what can't be handed over ends in order.
constexpr base::Duration kPartingTime = std::chrono::seconds(1);
// Listeners of earlier generations that live connections may come from.
constexpr std::size_t kMaxFormerListeners = 64;

bool is_same(const base::ListenerInfo& a, const base::ListenerInfo& b) {
  return a.url == b.url && a.host == b.host && a.port == b.port && a.unix_socket == b.unix_socket;
}

}  // namespace

const base::ListenerInfo* Reactor::listener_of(const HandOffTicket& ticket) {
  const auto find = [&ticket](const auto& infos) -> const base::ListenerInfo* {
    for (const base::ListenerInfo& info : infos) {
      if (is_same(info, ticket.listener)) return &info;
    }
    return nullptr;
  };
  if (const auto* own = find(commons_.config.listeners)) return own;
  if (const auto* former = find(former_listeners_)) return former;
  if (former_listeners_.size() >= kMaxFormerListeners) return nullptr;
  return &former_listeners_.emplace_back(ticket.listener);
}

bool Reactor::take_over(std::size_t most, bool beyond_limit) {
  if (!hand_off_.usable()) return false;
  bool taken = false;
  for (; most > 0 && (beyond_limit || open_ < commons_.config.worker_connections); --most) {
    auto received = hand_off_.receive();
    if (!received) {
      acceptor_.pause(received.error().os_errno, now_);
      return taken;
    }
    if (!*received) return taken;
    taken = true;
    HandOff::Arrival& arrival = **received;
    if (!arrival.socket) {
      look_for_newcomers();
      continue;
    }
    sockaddr_storage peer{};
    socklen_t size = sizeof(peer);
    ConnectionStart start;
    start.info.listener = listener_of(arrival.ticket);
    if (start.info.listener == nullptr ||
        ::getpeername(arrival.socket.get(), reinterpret_cast<sockaddr*>(&peer), &size) < 0) {
      continue;  // the client has gone, or nobody knows where it came in
    }
    start.info.proxy = std::move(arrival.ticket.proxy);
    start.since = std::min(arrival.ticket.since, now_);
    start.first_request = arrival.ticket.first_request;
    start.proxy_expected = arrival.ticket.proxy_expected;
    Connection* connection = add_connection(std::move(arrival.socket), peer, std::move(start));
    if (connection == nullptr) continue;
    // Before its time-out is looked at: the next request may lie in the socket.
    connection->on_event(EPOLLIN, now_);
    settle(*connection);
  }
  return taken;
}

bool Reactor::hand_over(Connection& connection) {
  if (!hand_off_.usable() || (hand_off_retry_ && now_ < *hand_off_retry_)) return false;
  // The open file lives on with the other worker, and so would its events here.
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, connection.socket(), nullptr);
  if (hand_off_.send(connection.socket(), connection.ticket())) {
    hand_off_full_since_.reset();
    commons_.stalled.store(false, std::memory_order_relaxed);
    connection.forget();
    remove(connection);
    return true;
  }
  hand_off_retry_ = now_ + kHandOffPause;
  if (!hand_off_full_since_) hand_off_full_since_ = now_;
  if (watch(connection.socket(), connection.id())) return false;
  connection.forget();
  remove(connection);
  return true;
}

void Reactor::hand_over_rest() {
  hand_off_retry_.reset();
  if (!is_passing_on()) return;
  for_each([this](Connection& connection) {
    if (connection.can_pass_on()) hand_over(connection);
  });
  if (!hand_off_full_since_) return;
  if (now_ - *hand_off_full_since_ >= kStalledAfter) {
    commons_.stalled.store(true, std::memory_order_relaxed);
  }
  if (!grace_end_ || now_ < *grace_end_ - kPartingTime) return;
  for_each([this](Connection& connection) {
    if (!connection.can_pass_on()) return;
    connection.part(now_);
    settle(connection);
  });
}

}  // namespace corn::server
