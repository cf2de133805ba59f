// SPDX-License-Identifier: Apache-2.0
// How a worker ends: by draining, cut off at the end of its grace, or put down.
#include <utility>

#include "workerd/server/reactor.h"

namespace corn::server {
namespace {

constexpr std::size_t kAll = ~std::size_t{0};
// Connections that a worker on its way out passes on from an accept queue; fewer than go into the
// hand-off queue (net.unix.max_dgram_qlen).
constexpr std::size_t kFew = 8;

}  // namespace

void Reactor::drain(base::Milliseconds grace, bool empty_backlog, bool may_be_last) {
  Letter letter;
  letter.kind = Letter::Kind::kDrain;
  letter.grace = grace;
  letter.empty_backlog = empty_backlog;
  letter.may_be_last = may_be_last;
  post(letter);
}

void Reactor::quit() { post({Letter::Kind::kQuit}); }

// Connection draining. Nothing new is accepted, and a request on its way in or inside is answered.
// Then, or at once, the connection goes on with another worker of the pool, and its client notices
// nothing. Where there is no way to hand it over, the answer says `Connection: close`, and an idle
// connection keeps its keep-alive time: its client may be sending the next request right now, and
// closing would lose it. Only when the whole service goes away (empty_backlog) that time is cut to
// half a second; what others have handed over is served first, like what waits to be accepted.
void Reactor::start_drain(base::Milliseconds grace, bool empty_backlog, bool may_be_last) {
  const base::TimePoint end = now_ + grace;
  if (!grace_end_ || end < *grace_end_) grace_end_ = end;
  const Leaving before = commons_.leaving.load(std::memory_order_relaxed);
  const Leaving leaving = empty_backlog        ? Leaving::kHurrying
                          : hand_off_.usable() ? Leaving::kPassingOn
                                               : Leaving::kClosing;
  if (leaving > before) commons_.leaving.store(leaving, std::memory_order_relaxed);
  if (empty_backlog && leaving > before) {
    hand_off_retry_.reset();
    take_over(kAll, true);
  }
  stop_accepting();
  if (empty_backlog || !may_be_last) close_listeners(empty_backlog);
  if (leaving <= before) return;
  hand_off_full_since_.reset();
  for_each([this](Connection& connection) {
    connection.drain(now_);
    settle(connection);
  });
}

void Reactor::stop_accepting() {
  const bool watched = acceptor_.watching();
  acceptor_.watch(false);
  room_check_.reset();
  // Whoever came just now has woken nobody else.
  if (watched) hand_off_.tell_of_newcomers();
}

// At once, even while the application is busy: with the last worker's copy the kernel begins to
// refuse newcomers, instead of letting them wait for nobody. Whoever waits then would be reset, so
// that the last thing done with a socket is to look at its queue. Where others go on serving it
// they are given the few who wait: the address may be one that the pool no longer has.
void Reactor::close_listeners(bool nobody_left) {
  if (on_close_) on_close_(nobody_left);
  if (nobody_left) {
    emptying_ = true;
    empty_accept_queues();
    return;
  }
  for (std::size_t i = 0; i < acceptor_.size(); ++i) {
    if (is_passing_on()) accept_from(i, kFew);
    acceptor_.close(i);
  }
}

// What finds no room now is taken when there is some.
void Reactor::empty_accept_queues() {
  acceptor_.end_pause(now_);
  emptying_ = false;
  for (std::size_t i = 0; i < acceptor_.size(); ++i) {
    if (accept_from(i, kAll)) {
      acceptor_.close(i);
    } else {
      emptying_ = true;
    }
  }
}

// The grace is over: nobody is answered any more.
void Reactor::cut() {
  cut_ = true;
  for_each([this](Connection& connection) {
    connection.abort(now_);
    settle(connection);
  });
}

void Reactor::start_abort() {
  if (aborting_) return;
  aborting_ = true;
  stop_accepting();
  acceptor_.close();
  const bool others_left = commons_.leaving.load(std::memory_order_relaxed) <= Leaving::kPassingOn;
  for_each([this, others_left](Connection& connection) {
    if (others_left && connection.can_pass_on() && hand_over(connection)) return;
    connection.abort(now_);
    settle(connection);
  });
}

void Reactor::check_abort() {
  bool all_done = true;
  for_each([&all_done](const Connection& connection) {
    if (!connection.abandoned()) all_done = false;
  });
  if (!all_done) return;
  abort_over_ = true;
  const std::lock_guard lock(mutex_);
  abort_done_ = true;
  aborted_.notify_all();
}

void Reactor::wait_for_abort(base::Milliseconds limit) {
  std::unique_lock lock(mutex_);
  aborted_.wait_for(lock, limit, [this] { return abort_done_; });
}

}  // namespace corn::server
