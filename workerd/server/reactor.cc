// SPDX-License-Identifier: Apache-2.0
#include "workerd/server/reactor.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "workerd/server/fork_fence.h"

namespace corn::server {
namespace {

// Event ids: connections have a generation above the low 32 bits, which starts at 1.
constexpr std::uint64_t kWakeId = 0;
constexpr std::uint64_t kFirstListenerId = 1;
constexpr std::uint64_t kHandOffId = 0xffffffff;

// Between two looks for connections that nobody was told of.
constexpr base::Duration kLookInterval = std::chrono::seconds(1);

constexpr std::uint32_t place_of(ConnectionId id) { return static_cast<std::uint32_t>(id); }
constexpr std::uint32_t generation_of(ConnectionId id) {
  return static_cast<std::uint32_t>(id >> 32U);
}

void set_remote(const sockaddr_storage& peer, app::ConnectionInfo& info) {
  char text[INET6_ADDRSTRLEN] = {};
  if (peer.ss_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, &peer, sizeof(v4));
    info.remote_host = ::inet_ntop(AF_INET, &v4.sin_addr, text, sizeof(text));
    info.remote_port = ntohs(v4.sin_port);
  } else if (peer.ss_family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, &peer, sizeof(v6));
    info.remote_host = ::inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof(text));
    info.remote_port = ntohs(v6.sin6_port);
  }
}

}  // namespace

Reactor::Reactor(ConnectionCommons& commons, const TrustedPeers& trusted,
                 const TrustedPeers& proxies, std::vector<base::UniqueFd> listeners,
                 HandOffEnds hand_off, const LoopPolicy& policy)
    : commons_(commons),
      trusted_(trusted),
      proxies_(proxies),
      policy_(policy),
      acceptor_(std::move(listeners), kFirstListenerId),
      hand_off_(std::move(hand_off), kHandOffId),
      now_(std::chrono::steady_clock::now()) {
  const base::WorkerConfig& config = commons_.config;
  Timeouts& timeouts = commons_.timeouts;
  timeouts.set_duration(TimeoutKind::kFirstByte, config.header_timeout);
  timeouts.set_duration(TimeoutKind::kHeader, config.header_timeout);
  timeouts.set_duration(TimeoutKind::kKeepAlive, config.keep_alive);
  timeouts.set_duration(TimeoutKind::kEntry, std::chrono::milliseconds(500));
  timeouts.set_duration(TimeoutKind::kBody, config.body_timeout);
  timeouts.set_duration(TimeoutKind::kBodyRate,
                        std::chrono::seconds(config.body_min_rate > 0 ? 10 : 0));
  timeouts.set_duration(TimeoutKind::kSend, config.timeout);
  timeouts.set_duration(TimeoutKind::kLinger, std::chrono::seconds(2));
  timeouts.set_duration(TimeoutKind::kLingerIdle, std::chrono::milliseconds(500));
  timeouts.set_duration(TimeoutKind::kDrainIdle, std::chrono::milliseconds(500));
  timeouts.set_duration(TimeoutKind::kDrainFresh, std::chrono::seconds(2));
  timeouts.set_duration(TimeoutKind::kPing, config.websocket_ping_interval);
  timeouts.set_duration(TimeoutKind::kPong, config.websocket_ping_interval);
}

Reactor::~Reactor() {
  for (const int fd : {epoll_.get(), wake_.get()}) open_across_forks(fd);
}

base::Status Reactor::open() {
  epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_) return base::fail_errno("cannot make an epoll descriptor", errno);
  wake_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake_) return base::fail_errno("cannot make an eventfd", errno);
  for (const int fd : {epoll_.get(), wake_.get()}) close_in_forks(fd);
  hand_off_.open(epoll_.get());
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;
  event.data.u64 = kWakeId;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event) < 0) {
    return base::fail_errno("cannot watch an eventfd", errno);
  }
  return acceptor_.open(epoll_.get(), policy_.takes_request_with_connection());
}

bool Reactor::done() const {
  return quit_ || cut_ || (abort_over_ && open_ == 0) ||
         (commons_.leaving.load(std::memory_order_relaxed) != Leaving::kNo && open_ == 0 &&
          !emptying_);
}

void Reactor::turn() {
  if (!step()) poll();
}

bool Reactor::step() {
  if (next_event_ < event_count_) {
    handle_event(events_[next_event_++]);
    return true;
  }
  // What these make ready is taken before the next wait.
  if (!tended_) {
    tended_ = true;
    run_deferred();
    expire();
    if (hand_off_retry_ && *hand_off_retry_ <= now_) hand_over_rest();
    if (room_check_ && *room_check_ <= now_) {
      check_room();
    } else if (next_look_ <= now_ && acceptor_.watching()) {
      next_look_ = now_ + kLookInterval;
      look_for_newcomers();
    }
    if (emptying_) empty_accept_queues();
    if (aborting_) check_abort();
    if (ending_overdue_) check_what_is_left();
    return true;
  }
  return false;
}

// ---- connections ----

Connection* Reactor::find(ConnectionId id) {
  const std::uint32_t place = place_of(id);
  if (place >= places_.size() || places_[place].generation != generation_of(id)) return nullptr;
  return places_[place].connection.get();
}

void Reactor::handle_event(const epoll_event& event) {
  const std::uint64_t id = event.data.u64;
  if (id == kWakeId) return;  // its mail was read when the wait ended
  if (generation_of(id) == 0) {
    const std::size_t capacity = policy_.accept_capacity(waiting());
    if (id == kHandOffId) {
      take_over(capacity);
      return;
    }
    const auto listener = static_cast<std::size_t>(id - kFirstListenerId);
    if (capacity == 0 || open_ >= commons_.config.worker_connections) turned_away_ = true;
    accept_from(listener, capacity);
    return;
  }
  if (Connection* connection = find(id)) {
    // A request comes that would have to wait here: it is left unread, for whoever is free first.
    constexpr std::uint32_t kInput = EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR;
    // Without siblings that is this worker once more, or its successor should it be put down.
    if (policy_.passes_requests_on() && (event.events & kInput) == EPOLLIN &&
        connection->can_pass_on() && hand_over(*connection)) {
      return;
    }
    connection->on_event(event.events, now_);
    settle(*connection);
  }
}

bool Reactor::accept_from(std::size_t listener, std::size_t most) {
  for (; most > 0; --most) {
    Connection* idle = nullptr;
    if (open_ >= commons_.config.worker_connections) {
      idle = replaceable();
      if (idle == nullptr) return false;
    }
    auto accepted = acceptor_.accept(listener, now_);
    if (!accepted) return !acceptor_.paused_until();
    if (idle != nullptr) replace(*idle);
    const auto& listeners = commons_.config.listeners;
    ConnectionStart start;
    start.info.listener = listener < listeners.size() ? &listeners[listener] : nullptr;
    start.since = now_;
    start.proxy_expected = commons_.config.proxy_protocol != base::ProxyProtocol::kOff;
    Connection* connection =
        add_connection(std::move(accepted->socket), accepted->peer, std::move(start));
    if (connection == nullptr) continue;
    base::add(commons_.scoreboard.accepted);
    // One that goes on to another worker is left unread.
    if (!is_passing_on()) {
      if (!policy_.takes_request_with_connection()) continue;
      connection->on_event(EPOLLIN, now_);
    }
    settle(*connection);
  }
  return false;
}

bool Reactor::watch(int socket, ConnectionId id) const {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.u64 = id;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, socket, &event) == 0) return true;
  base::log_error("cannot watch a connection: {}; it is closed", std::strerror(errno));
  return false;
}

Connection* Reactor::add_connection(base::UniqueFd socket, const sockaddr_storage& peer,
                                    ConnectionStart start) {
  if (free_places_.empty()) {
    free_places_.push_back(static_cast<std::uint32_t>(places_.size()));
    places_.emplace_back();
  }
  const std::uint32_t index = free_places_.back();
  Place& place = places_[index];
  ++place.generation;
  if (place.generation == 0) place.generation = 1;
  const ConnectionId id = static_cast<ConnectionId>(place.generation) << 32U | index;

  if (!watch(socket.get(), id)) return nullptr;
  free_places_.pop_back();
  set_remote(peer, start.info);
  if (const auto& proxy = start.info.proxy; proxy && proxy->has_addresses()) {
    start.info.remote_host = proxy->client_address;
    start.info.remote_port = proxy->client_port;
  }
  start.rights.forwarding =
      trusted_.trusts(peer) ? http::PeerTrust::kTrusted : http::PeerTrust::kUntrusted;
  start.rights.proxy_header = proxies_.trusts(peer);
  place.connection =
      std::make_unique<Connection>(commons_, id, std::move(socket), std::move(start));
  ++open_;
  commons_.scoreboard.connections.store(open_, std::memory_order_relaxed);
  return place.connection.get();
}

void Reactor::settle(Connection& connection) {
  if (connection.closed()) {
    remove(connection);
    return;
  }
  if (is_passing_on() && connection.can_pass_on() && hand_over(connection)) return;
  if (all_hang_ && connection.wants_application()) connection.abort(now_);
  const Connection::Entry entry = connection.entry();
  if (entry != connection.queued()) {
    connection.set_queued(entry);
    if (entry == Connection::Entry::kWhole) {
      whole_.push_back(connection.id());
      publish_waiting();
    } else if (entry == Connection::Entry::kUnfinished) {
      unfinished_.push_back(connection.id());
    }
  }
  if (connection.wants_turn()) deferred_.push_back(connection.id());
}

void Reactor::remove(Connection& connection) {
  const std::uint32_t place = place_of(connection.id());
  places_[place].connection.reset();
  free_places_.push_back(place);
  --open_;
  commons_.scoreboard.connections.store(open_, std::memory_order_relaxed);
}

void Reactor::publish_waiting() {
  commons_.scoreboard.waiting.store(whole_.size(), std::memory_order_relaxed);
}

Connection* Reactor::take_ready(bool unfinished_too) {
  if (taken_since_poll_ >= kTakenPerPoll) return nullptr;
  Connection* taken = nullptr;
  while (taken == nullptr && !whole_.empty()) {
    Connection* connection = find(whole_.front());
    whole_.pop_front();
    if (connection != nullptr && connection->entry() == Connection::Entry::kWhole) {
      taken = connection;
    }
    publish_waiting();
  }
  while (taken == nullptr && unfinished_too && !unfinished_.empty()) {
    Connection* connection = find(unfinished_.front());
    unfinished_.pop_front();
    if (connection != nullptr && connection->entry() == Connection::Entry::kUnfinished) {
      taken = connection;
    }
  }
  if (taken != nullptr) {
    ++taken_since_poll_;
    taken->enter();
  }
  return taken;
}

void Reactor::leave(Connection& connection) {
  now_ = std::max(now_, connection.outcome().ended);
  connection.leave(now_);
  settle(connection);
}

void Reactor::run_deferred() {
  if (deferred_.empty()) return;
  deferred_now_.swap(deferred_);
  for (const ConnectionId id : deferred_now_) {
    if (Connection* connection = find(id)) {
      connection->resume(now_);
      settle(*connection);
    }
  }
  deferred_now_.clear();
}

void Reactor::expire() {
  while (Timer* timer = commons_.timeouts.expire(now_)) {
    Connection& connection = timer->owner();
    connection.on_timeout(timer->kind(), now_);
    settle(connection);
  }
}

// ---- mail ----

void Reactor::wake() {
  const std::uint64_t one = 1;
  // Fails only when 2^64 - 2 wake-ups have been counted.
  [[maybe_unused]] const ssize_t written = ::write(wake_.get(), &one, sizeof(one));
}

void Reactor::post(const Letter& letter) {
  {
    const std::lock_guard lock(mutex_);
    mail_.push_back(letter);
    has_mail_.store(true, std::memory_order_seq_cst);
  }
  if (sleeping_.exchange(false, std::memory_order_seq_cst)) wake();
}

void Reactor::read_mail() {
  {
    const std::lock_guard lock(mutex_);
    mail_read_.swap(mail_);
    has_mail_.store(false, std::memory_order_relaxed);
  }
  for (const Letter& letter : mail_read_) {
    switch (letter.kind) {
      case Letter::Kind::kLeft:
        leave(*find(letter.connection));
        break;
      case Letter::Kind::kBodyEmptied:
        if (Connection* connection = find(letter.connection)) {
          connection->resume(now_);
          settle(*connection);
        }
        break;
      case Letter::Kind::kDrain:
        start_drain(letter.grace, letter.empty_backlog, letter.may_be_last);
        break;
      case Letter::Kind::kEndOverdue:
        start_ending_overdue(letter);
        break;
      case Letter::Kind::kQuit:
        quit_ = true;
        for_each([](Connection& connection) { connection.give_up(); });
        break;
      case Letter::Kind::kAbort:
        start_abort();
        break;
    }
  }
  mail_read_.clear();
}

}  // namespace corn::server
