// SPDX-License-Identifier: Apache-2.0
// A worker that holds as many connections as it may takes no more. But idle ones must not keep
// newcomers out: when somebody waits to be accepted, and no sibling takes him, the connection that
// has been idle for longest goes. Clients have to expect that of an idle connection at any time
// (RFC 9112 section 9.3).
//
// What siblings have handed over is never left waiting for room: it was accepted already, its
// request may have been sent, and the pool has no more connections than before. It is taken beyond
// the limit when no sibling with room has done so, and idle ones go until the limit is kept again.
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>

#include "base/log.h"
#include "workerd/server/reactor.h"

namespace corn::server {
namespace {

// So long a sibling with room has to take a newcomer.
constexpr base::Duration kSiblingsTime = std::chrono::milliseconds(10);
// Between two looks at the hand-off queue while nothing is idle.
constexpr base::Duration kQueueLookInterval = std::chrono::milliseconds(100);
constexpr base::Duration kComplaintInterval = std::chrono::seconds(60);

}  // namespace

Connection* Reactor::longest_idle() {
  Connection* found = nullptr;
  for (const TimeoutKind kind : {TimeoutKind::kFirstByte, TimeoutKind::kKeepAlive}) {
    Timer* timer = commons_.timeouts.first(kind);
    if (timer == nullptr) continue;
    Connection& idle = timer->owner();
    if (idle.state() != Connection::State::kIdle) continue;
    if (found == nullptr || idle.idle_since() < found->idle_since()) found = &idle;
  }
  return found;
}

Connection* Reactor::replaceable() {
  for (;;) {
    Connection* idle = longest_idle();
    if (idle == nullptr || idle->idle_since() + kLeastIdle > now_) return nullptr;
    char byte = 0;
    if (::recv(idle->socket(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0) return idle;
    // Its next request is there, or its end, and the event is still to be handled.
    idle->on_event(EPOLLIN, now_);
    settle(*idle);
  }
}

void Reactor::replace(Connection& idle) {
  if (!last_room_complaint_ || now_ - *last_room_complaint_ >= kComplaintInterval) {
    last_room_complaint_ = now_;
    base::log_warning(
        "all {} connections that this worker may hold (worker_connections) are taken: idle ones "
        "are closed to make room",
        commons_.config.worker_connections);
  }
  idle.make_room();
  settle(idle);
}

void Reactor::plan_room_check(bool at_limit) {
  if (!at_limit) {
    room_check_.reset();
    return;
  }
  if (room_check_) return;
  if (hand_off_.usable()) room_check_ = now_ + kQueueLookInterval;
  if (const Connection* idle = longest_idle()) {
    const base::TimePoint ripe = std::max(now_ + kSiblingsTime, idle->idle_since() + kLeastIdle);
    room_check_ = std::min(room_check_.value_or(ripe), ripe);
  }
}

void Reactor::check_room() {
  room_check_.reset();
  if (acceptor_.paused_until()) return;
  const bool taken = take_over(policy_.accept_capacity(waiting()), true);
  look_for_newcomers();
  while (open_ > commons_.config.worker_connections) {
    Connection* idle = replaceable();
    if (idle == nullptr) break;
    replace(*idle);
  }
  if (taken) room_check_ = now_;  // there may be more
}

void Reactor::look_for_newcomers() {
  for (std::size_t i = 0; i < acceptor_.size(); ++i) {
    accept_from(i, policy_.accept_capacity(waiting()));
  }
}

}  // namespace corn::server
