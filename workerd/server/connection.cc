// SPDX-License-Identifier: Apache-2.0
// The transitions of a connection; see connection.h for the picture. Input is in
// connection_input.cc.
#include "workerd/server/connection.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <string>

#include "base/check.h"
#include "base/log.h"
#include "workerd/http/error_response.h"
#include "workerd/server/fork_fence.h"

namespace corn::server {
namespace {

std::int64_t unix_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  return now.tv_sec;
}

app::ConnectionInfo with_socket(app::ConnectionInfo info, int socket) {
  info.socket = socket;
  return info;
}

}  // namespace

Connection::Connection(ConnectionCommons& commons, ConnectionId id, base::UniqueFd socket,
                       ConnectionStart start)
    : commons_(&commons),
      id_(id),
      socket_(std::move(socket)),
      info_(with_socket(std::move(start.info), socket_.get())),
      rights_(start.rights),
      input_(commons.buffers),
      next_(commons.buffers),
      scanner_(commons.parser),
      first_request_(start.first_request),
      proxy_expected_(start.proxy_expected),
      body_(commons.body_store),
      transmitter_(socket_.get(), commons.config.timeout, commons.body_store.directory) {
  close_in_forks(socket_.get());
  set_idle(start.since);
}

Connection::~Connection() {
  open_across_forks(socket_.get());
  set_sending(false);
  for (Timer* timer : {&phase_, &entry_, &rate_}) commons_->timeouts.disarm(*timer);
}

void Connection::set_idle(base::TimePoint since) {
  state_ = State::kIdle;
  idle_since_ = since;
  TimeoutKind kind = first_request_ ? TimeoutKind::kFirstByte : TimeoutKind::kKeepAlive;
  if (commons_->closing()) {
    if (first_request_) {
      kind = TimeoutKind::kDrainFresh;
    } else if (commons_->leaving.load(std::memory_order_relaxed) == Leaving::kHurrying) {
      kind = TimeoutKind::kDrainIdle;
    }
  }
  commons_->timeouts.arm_since(phase_, kind, since);
}

void Connection::on_event(std::uint32_t events, base::TimePoint now) {
  handle_event(events, now);
  tell_watcher();
}

void Connection::tell_watcher() const {
  if (watcher_ != nullptr && state_ == State::kInside) watcher_->on_change();
}

void Connection::handle_event(std::uint32_t events, base::TimePoint now) {
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) input_ready_ = true;
  if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) until_end_ = true;
  if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
    if (state_ == State::kInside) {
      ended_ = true;
      transmitter_.break_off();
      if (!decoder_.complete()) {
        fail_body({400, "the client has gone before its request was whole"}, EPIPE, now);
      }
      return;
    }
    if (state_ == State::kFlush || state_ == State::kLinger) {
      close();
      return;
    }
  }
  if ((events & EPOLLOUT) != 0 && transmitter_.wants_flush()) {
    transmitter_.flush();
    if (state_ == State::kFlush && !transmitter_.wants_flush()) {
      after_response(!end_after_flush_, now);
    } else if (state_ == State::kInside && aborted() && !transmitter_.wants_flush()) {
      shut_down_writing();
    }
  }
  advance(now);
}

void Connection::resume(base::TimePoint now) {
  if (receiving_body() && !phase_.armed() && !body_.full()) {
    commons_->timeouts.arm(phase_, TimeoutKind::kBody, now);
    commons_->timeouts.arm(rate_, TimeoutKind::kBodyRate, now);
    window_bytes_ = 0;
  }
  advance(now);
  tell_watcher();
}

void Connection::on_timeout(TimeoutKind kind, base::TimePoint now) {
  switch (kind) {
    case TimeoutKind::kHeader:
      if (state_ == State::kHead) {
        refuse({408, "the request head did not arrive in time"}, now);
      } else {
        end(TimeoutKind::kLingerIdle, now);
      }
      break;
    case TimeoutKind::kFirstByte:
    case TimeoutKind::kKeepAlive:
    case TimeoutKind::kDrainIdle:
    case TimeoutKind::kDrainFresh:
      end(TimeoutKind::kLingerIdle, now);
      break;
    case TimeoutKind::kEntry:
      may_enter_ = true;
      break;
    case TimeoutKind::kBody:
      body_late(now);
      break;
    case TimeoutKind::kBodyRate: {
      const auto window = commons_->timeouts.duration(TimeoutKind::kBodyRate);
      const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(window).count();
      const std::uint64_t least =
          commons_->config.body_min_rate * static_cast<std::uint64_t>(seconds);
      if (window_bytes_ < least) {
        body_late(now);
      } else {
        window_bytes_ = 0;
        commons_->timeouts.arm(rate_, TimeoutKind::kBodyRate, now);
      }
      break;
    }
    case TimeoutKind::kSend:
      if (const std::uint64_t progress = transmitter_.progress(); progress != flush_progress_) {
        flush_progress_ = progress;
        if (state_ != State::kInside) {
          commons_->timeouts.arm(phase_, TimeoutKind::kSend, now);
        } else if (transmitter_.wants_flush()) {
          commons_->timeouts.arm(entry_, TimeoutKind::kSend, now);
        }
      } else if (state_ == State::kInside) {
        if (transmitter_.wants_flush()) transmitter_.break_off();
      } else {
        close();
      }
      break;
    case TimeoutKind::kPing:
    case TimeoutKind::kPong:
      if (watcher_ != nullptr) watcher_->on_timer(kind, now);
      break;
    case TimeoutKind::kLinger:
    case TimeoutKind::kLingerIdle:
      if (state_ == State::kInside) {
        ended_ = true;  // aborted, and its client has had its time
      } else {
        close();
      }
      break;
  }
  tell_watcher();
}

void Connection::body_late(base::TimePoint now) {
  const http::ProtocolError error{408, "the request body did not arrive in time"};
  if (state_ == State::kDiscard) {
    end(TimeoutKind::kLinger, now);
  } else {
    fail_body(error, ETIMEDOUT, now);
  }
}

void Connection::fail_body(const http::ProtocolError& error, int os_errno, base::TimePoint now) {
  commons_->timeouts.disarm(rate_);
  commons_->timeouts.disarm(entry_);
  body_failed_ = true;
  if (state_ == State::kInside) {
    commons_->timeouts.disarm(phase_);
    body_.break_off(error, os_errno);
  } else {
    refuse(error, now);
  }
}

Connection::Entry Connection::entry() const {
  if (state_ == State::kWaiting) return Entry::kWhole;
  if (state_ == State::kBody && may_enter_) return Entry::kUnfinished;
  return Entry::kNone;
}

void Connection::enter() {
  CORN_CHECK(entry() != Entry::kNone);
  commons_->timeouts.disarm(entry_);
  queued_ = Entry::kNone;
  state_ = State::kInside;
  begun_.store({}, std::memory_order_relaxed);
  outcome_ = {};
}

void Connection::leave(base::TimePoint now) {
  CORN_CHECK(state_ == State::kInside);
  watcher_ = nullptr;
  for (Timer* timer : {&phase_, &entry_, &rate_}) commons_->timeouts.disarm(*timer);
  state_ = State::kFlush;
  count_sent();
  client_ends_ = !head_.keep_alive;
  if (aborted() || transmitter_.broken()) {
    state_ = State::kLinger;
    if (ended_ || resets_ || transmitter_.broken()) {
      close();
    } else {
      commons_->timeouts.arm(phase_, TimeoutKind::kLinger, now);
      advance(now);
    }
    return;
  }
  if (outcome_.reset) {
    end_by_reset();
    close();
    return;
  }
  const bool body_over = decoder_.complete() && !body_failed_;
  if (outcome_.keep_alive && !body_over && !body_failed_ && !ended_ &&
      decoder_.remaining().value_or(0) <= kDiscardBytes) {
    state_ = State::kDiscard;
    discarded_bytes_ = 0;
    commons_->timeouts.arm(phase_, TimeoutKind::kBody, now);
    advance(now);
    return;
  }
  after_response(outcome_.keep_alive && body_over, now);
}

void Connection::after_response(bool keep_alive, base::TimePoint now) {
  set_sending(transmitter_.wants_flush());
  if (sending_) {
    state_ = State::kFlush;
    end_after_flush_ = !keep_alive;
    flush_progress_ = transmitter_.progress();
    commons_->timeouts.arm(phase_, TimeoutKind::kSend, now);
    return;
  }
  if (transmitter_.broken()) {
    close();
  } else if (keep_alive) {
    next_request(now);
  } else {
    end(TimeoutKind::kLinger, now);
  }
}

void Connection::next_request(base::TimePoint now) {
  count_sent();
  head_.method = head_.target = head_.path = head_.query = {};  // views of what goes now
  head_.fields.clear();
  input_.consume(request_bytes_);
  if (!next_.empty()) input_.swap(next_);
  request_bytes_ = 0;
  if (body_used_) body_.reset();
  body_used_ = may_enter_ = continue_wanted_ = false;
  scanner_.reset();
  first_request_ = false;
  set_idle(now);
  if (!input_.empty()) parse_head(now);
  advance(now);
}

void Connection::end(TimeoutKind linger, base::TimePoint now) {
  count_sent();
  // A client that has said it sends nothing more cannot be hurt by a reset, having nothing in
  // flight.
  const bool nothing_follows = client_ends_ && decoder_.complete() && !input_ready_ &&
                               next_.empty() && input_.bytes().size() == request_bytes_;
  if (ended_ || nothing_follows) {
    close();
    return;
  }
  shut_down_writing();
  input_.release();
  next_.release();
  request_bytes_ = 0;
  state_ = State::kLinger;
  commons_->timeouts.disarm(entry_);
  commons_->timeouts.disarm(rate_);
  commons_->timeouts.arm(phase_, linger, now);
  advance(now);
}

void Connection::close() {
  CORN_CHECK(state_ != State::kInside);
  transmitter_.break_off();
  count_sent();
  set_sending(false);
  state_ = State::kClosed;
}

void Connection::set_sending(bool sending) {
  if (sending == sending_) return;
  sending_ = sending;
  base::Counter& count = commons_->scoreboard.sending;
  count.store(count.load(std::memory_order_relaxed) + (sending ? 1U : ~std::uint64_t{0}),
              std::memory_order_relaxed);
}

// When the socket is closed: a client that takes the connection's end for the answer's must not
// take a part for the whole.
void Connection::end_by_reset() {
  const linger cut{1, 0};
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_LINGER, &cut, sizeof(cut));
  resets_ = true;
}

void Connection::shut_down_writing() {
  if (!shut_down_ && !resets_) ::shutdown(socket_.get(), SHUT_WR);
  shut_down_ = true;
}

void Connection::count_sent() {
  base::add(commons_->scoreboard.bytes_sent, transmitter_.take_sent());
}

std::string Connection::error_page(const http::ProtocolError& error) {
  std::string page;
  http::append_error_response(error, head_.method == "HEAD", commons_->date.at(unix_seconds()),
                              page);
  return page;
}

void Connection::log_refusal(const http::ProtocolError& error, std::size_t page_bytes,
                             base::Duration inside) {
  base::add(commons_->scoreboard.refused);
  if (error.status < 500) {
    base::log_warning("Invalid request from ip={}: {}", info_.remote_host, error.log_text());
  }
  AccessRecord record;
  record.head = &head_;
  record.remote_host = info_.remote_host;
  record.status = error.status;
  record.body_bytes = page_bytes;
  record.duration = inside;
  commons_->access_log.add(record);
}

void Connection::refuse(const http::ProtocolError& error, base::TimePoint now) {
  const std::string page = error_page(error);
  const std::size_t body = page.size() - std::min(page.size(), page.find("\r\n\r\n") + 4);
  log_refusal(error, body);
  client_ends_ = false;
  transmitter_.send_now(page);
  commons_->timeouts.disarm(entry_);
  commons_->timeouts.disarm(rate_);
  after_response(false, now);
}

void Connection::drain(base::TimePoint now) {
  if (state_ == State::kIdle && commons_->closing()) set_idle(now);
  if (watcher_ != nullptr && state_ == State::kInside) watcher_->on_drain();
}

bool Connection::client_ended() const {
  if (ended_ || aborted() || transmitter_.broken()) return true;
  // Its next request may lie before its end.
  if (switched_ || !until_end_ || !decoder_.complete() || !next_.empty() ||
      input_.bytes().size() > request_bytes_) {
    return false;
  }
  char byte = 0;
  return ::recv(socket_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

std::string_view Connection::switch_protocol() {
  CORN_CHECK(state_ == State::kInside && decoder_.complete());
  switched_ = true;
  begin(base::TimePoint::max());
  return input_.bytes().substr(request_bytes_);
}

void Connection::watch_sending(base::TimePoint now) {
  if (entry_.armed() || !transmitter_.wants_flush()) return;
  flush_progress_ = transmitter_.progress();
  commons_->timeouts.arm(entry_, TimeoutKind::kSend, now);
}

void Connection::make_room() {
  CORN_CHECK(state_ == State::kIdle);
  close();
}

bool Connection::can_pass_on() const {
  return state_ == State::kIdle && input_.empty() && next_.empty() && !until_end_ && !ended_ &&
         !transmitter_.wants_flush();
}

HandOffTicket Connection::ticket() const {
  return {*info_.listener, info_.proxy, first_request_, proxy_expected_, idle_since_};
}

void Connection::forget() {
  count_sent();
  state_ = State::kClosed;
}

base::Duration Connection::time_inside(base::TimePoint now) const {
  const base::TimePoint begun = begun_.load(std::memory_order_relaxed);
  if (begun == base::TimePoint() || begun > now) return base::Duration::zero();
  return now - begun;
}

bool Connection::inside_since(base::TimePoint newest) const {
  const base::TimePoint begun = begun_.load(std::memory_order_relaxed);
  return state_ == State::kInside && begun != base::TimePoint() && begun <= newest;
}

bool Connection::wants_application() const {
  switch (state_) {
    case State::kHead:
    case State::kBody:
    case State::kWaiting:
      return true;
    case State::kInside:
      return begun_.load(std::memory_order_relaxed) == base::TimePoint();
    case State::kIdle:
    case State::kDiscard:
    case State::kFlush:
    case State::kLinger:
    case State::kClosed:
      return false;
  }
  return false;
}

void Connection::give_up() {
  if (state_ != State::kInside) return;
  transmitter_.break_off();
  body_.break_off({503, "the worker has been told to quit"}, EPIPE);
  tell_watcher();
}

void Connection::abort(base::TimePoint now) {
  const http::ProtocolError late{504, "the worker did not answer in time"};
  switch (state_) {
    case State::kIdle:
      end(TimeoutKind::kLingerIdle, now);
      break;
    case State::kHead:
    case State::kBody:
    case State::kWaiting:
      refuse(late, now);
      break;
    case State::kInside: {
      if (aborted()) break;
      aborted_.store(true, std::memory_order_relaxed);
      const std::string page = error_page(late);
      if (transmitter_.cut_off(page)) {
        log_refusal(late, page.size() - std::min(page.size(), page.find("\r\n\r\n") + 4),
                    time_inside(now));
      } else if (transmitter_.looks_whole_when_cut()) {
        end_by_reset();
      }
      if (!transmitter_.wants_flush()) shut_down_writing();
      fail_body(late, ETIMEDOUT, now);
      commons_->timeouts.arm(phase_, TimeoutKind::kLinger, now);
      advance(now);
      tell_watcher();
      break;
    }
    case State::kDiscard:
      end(TimeoutKind::kLinger, now);
      break;
    case State::kFlush:
      end_after_flush_ = true;
      break;
    case State::kLinger:
    case State::kClosed:
      break;
  }
}

}  // namespace corn::server
