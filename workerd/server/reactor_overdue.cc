// SPDX-License-Identifier: Apache-2.0
// The end of a worker in which requests are over their limit: it can't be had back from a thread
// that hangs, but what its other threads have begun is finished, what is answered goes out, and its
// idle connections go on elsewhere.
#include <utility>

#include "workerd/server/reactor.h"

namespace corn::server {

void Reactor::end_overdue(base::TimePoint newest, base::Milliseconds grace, bool all_hang,
                          std::function<void()> only_overdue_left) {
  {
    const std::lock_guard lock(mutex_);
    if (!only_overdue_left_) only_overdue_left_ = std::move(only_overdue_left);
  }
  Letter letter;
  letter.kind = Letter::Kind::kEndOverdue;
  letter.grace = grace;
  letter.newest = newest;
  letter.all_hang = all_hang;
  post(letter);
}

void Reactor::start_ending_overdue(const Letter& order) {
  ending_overdue_ = true;
  all_hang_ = all_hang_ || order.all_hang;
  start_drain(order.grace, false);
  for_each([this, &order](Connection& connection) {
    if (connection.inside_since(order.newest) || (all_hang_ && connection.wants_application())) {
      connection.abort(now_);
    }
    settle(connection);
  });
}

void Reactor::check_what_is_left() {
  bool any_inside = false;
  bool all_done = true;
  for_each([&](const Connection& connection) {
    if (!connection.abandoned()) all_done = false;
    any_inside = true;
  });
  // With none left at all the loop is done, and ends in the usual way.
  if (!all_done || !any_inside) return;
  ending_overdue_ = false;
  std::function<void()> tell;
  {
    const std::lock_guard lock(mutex_);
    tell = only_overdue_left_;
  }
  tell();
}

}  // namespace corn::server
