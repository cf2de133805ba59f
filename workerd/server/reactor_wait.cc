// SPDX-License-Identifier: Apache-2.0
// How the loop waits, or lets a foreign loop wait for it.
#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include "base/check.h"
#include "workerd/server/reactor.h"

namespace corn::server {

int Reactor::poll_timeout() const {
  if (!deferred_.empty() || (!whole_.empty() && taken_since_poll_ >= kTakenPerPoll) ||
      has_mail_.load(std::memory_order_seq_cst)) {
    return 0;
  }
  std::optional<base::TimePoint> deadline = commons_.timeouts.next_deadline();
  const auto consider = [&deadline](std::optional<base::TimePoint> other) {
    if (other && (!deadline || *other < *deadline)) deadline = other;
  };
  consider(commons_.access_log.due());
  consider(acceptor_.paused_until());
  consider(hand_off_retry_);
  consider(room_check_);
  if (!cut_) consider(grace_end_);
  if (commons_.config.timeout.count() > 0 && policy_.turn_is_life()) {
    consider(last_beat_ + base::Duration(commons_.config.timeout) / 2);
  }
  if (!deadline) return -1;
  const auto now = std::chrono::steady_clock::now();
  if (*deadline <= now) return 0;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline - now).count();
  return static_cast<int>(std::min<std::int64_t>(left, 3'600'000));
}

void Reactor::poll() {
  prepare_to_wait();
  take_events(poll_timeout());
}

void Reactor::prepare_to_wait() {
  const bool leaving = commons_.leaving.load(std::memory_order_relaxed) != Leaving::kNo;
  acceptor_.end_pause(now_);
  const bool willing = !leaving && !aborting_ && policy_.accept_capacity(0) > 0;
  const bool takes = willing && open_ < commons_.config.worker_connections;
  plan_room_check(willing && !takes);
  acceptor_.watch(takes);
  // Who comes from here on wakes a sibling.
  if (std::exchange(turned_away_, false) && !takes) hand_off_.tell_of_newcomers();
  hand_off_.watch(takes && !acceptor_.paused_until());
  // Whoever posts sees the flag, or its letter is seen here.
  sleeping_.store(true, std::memory_order_seq_cst);
}

void Reactor::take_events(int timeout) {
  const int count =
      ::epoll_wait(epoll_.get(), events_.data(), static_cast<int>(events_.size()), timeout);
  sleeping_.store(false, std::memory_order_relaxed);
  CORN_CHECK(count >= 0 || errno == EINTR);
  event_count_ = static_cast<std::size_t>(std::max(count, 0));
  next_event_ = 0;
  tended_ = false;
  taken_since_poll_ = 0;
  now_ = std::chrono::steady_clock::now();
  beat();
  if (has_mail_.load(std::memory_order_acquire)) read_mail();
  if (const auto due = commons_.access_log.due(); due && *due <= now_) commons_.access_log.flush();
  if (grace_end_ && *grace_end_ <= now_ && !cut_) cut();
}

void Reactor::beat() {
  if (!policy_.turn_is_life()) return;
  last_beat_ = now_;
  commons_.scoreboard.beat.store(base::to_nanoseconds(now_), std::memory_order_relaxed);
}

void Reactor::collect() { take_events(0); }

std::optional<base::Duration> Reactor::rest() {
  prepare_to_wait();
  return time_to_rest();
}

std::optional<base::Duration> Reactor::time_to_rest() const {
  const int timeout = poll_timeout();
  if (timeout < 0) return std::nullopt;
  return std::chrono::milliseconds(timeout);
}

}  // namespace corn::server
