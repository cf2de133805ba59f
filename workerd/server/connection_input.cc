// SPDX-License-Identifier: Apache-2.0
// What a connection does with the bytes it receives.
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "base/check.h"
#include "base/log.h"
#include "workerd/server/connection.h"

namespace corn::server {
namespace {

// Reads of one connection in one turn of the loop, so that a fast sender leaves others their turn.
constexpr int kReadsPerTurn = 16;

}  // namespace

bool Connection::receiving_body() const {
  return (state_ == State::kBody || state_ == State::kInside || state_ == State::kDiscard) &&
         !decoder_.complete() && !body_failed_;
}

bool Connection::reads_now() const {
  switch (state_) {
    case State::kIdle:
    case State::kHead:
    case State::kLinger:
      return true;
    case State::kBody:
    case State::kDiscard:
      return receiving_body() && !body_.full();
    case State::kInside:
      if (switched_ && !aborted()) return watcher_ != nullptr && watcher_->wants_bytes();
      return aborted() || (receiving_body() && !body_.full());
    case State::kWaiting:
    case State::kFlush:
    case State::kClosed:
      return false;
  }
  return false;
}

bool Connection::wants_turn() const { return input_ready_ && !ended_ && reads_now(); }

void Connection::advance(base::TimePoint now) {
  for (int reads = 0; reads < kReadsPerTurn && wants_turn(); ++reads) {
    if (state_ == State::kIdle || state_ == State::kHead) {
      const std::size_t size = receive(input_.room(), now);
      input_.commit(size);
      if (size > 0) {
        parse_head(now);
      } else if (state_ == State::kIdle && input_.empty()) {
        input_.release();
      }
    } else if (state_ == State::kLinger || aborted()) {
      receive(commons_->buffers.scratch(), now);
    } else if (switched_) {
      const std::span<char> space = commons_->buffers.scratch();
      const std::size_t size = receive(space, now);
      if (size > 0) watcher_->on_bytes({space.data(), size});
    } else {
      receive_body(now);
    }
  }
}

std::size_t Connection::receive(std::span<char> space, base::TimePoint now) {
  for (;;) {
    const ssize_t size = ::recv(socket_.get(), space.data(), space.size(), MSG_DONTWAIT);
    if (size > 0) {
      const auto count = static_cast<std::size_t>(size);
      if (count < space.size() && !until_end_) input_ready_ = false;
      base::add(commons_->scoreboard.bytes_received, count);
      return count;
    }
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      input_ready_ = false;
      return 0;
    }
    ended_ = true;
    on_input_end(now);
    return 0;
  }
}

// The client sends nothing more: it has shut down its side, or the connection is broken.
void Connection::on_input_end(base::TimePoint now) {
  switch (state_) {
    case State::kIdle:
    case State::kHead:
    case State::kBody:
    case State::kDiscard:
    case State::kLinger:
      close();
      break;
    case State::kInside:
      if (receiving_body()) {
        fail_body({400, "the client has ended its request before it was whole"}, EPIPE, now);
      }
      break;
    case State::kWaiting:
    case State::kFlush:
    case State::kClosed:
      break;
  }
}

void Connection::wait_for_head(base::TimePoint now) {
  if (state_ != State::kIdle) return;
  state_ = State::kHead;
  // The first request's time has run since the connection came.
  commons_->timeouts.arm_since(phase_, TimeoutKind::kHeader, first_request_ ? idle_since_ : now);
}

bool Connection::take_proxy_header(base::TimePoint now) {
  http::ProxyResult result =
      http::parse_proxy_header(input_.bytes(), commons_->config.proxy_protocol);
  switch (result.kind) {
    case http::ProxyResult::Kind::kNeedMore:
      wait_for_head(now);
      return false;
    case http::ProxyResult::Kind::kAbsent:
      proxy_expected_ = false;
      return true;
    case http::ProxyResult::Kind::kError:
    case http::ProxyResult::Kind::kComplete:
      break;
  }
  if (!rights_.proxy_header) {
    refuse({403, "this peer may not send a PROXY header"}, now);
    return false;
  }
  if (result.error) {
    refuse(*result.error, now);
    return false;
  }
  proxy_expected_ = false;
  info_.proxy = std::move(result.header);
  if (info_.proxy->has_addresses()) {
    info_.remote_host = info_.proxy->client_address;
    info_.remote_port = info_.proxy->client_port;
  }
  input_.consume(result.consumed_bytes);
  state_ = State::kIdle;
  return !input_.empty();
}

void Connection::parse_head(base::TimePoint now) {
  if (proxy_expected_ && !take_proxy_header(now)) return;
  const http::ScanResult scan = scanner_.feed(input_.bytes());
  switch (scan.kind) {
    case http::ScanResult::Kind::kNeedMore:
      if (scanner_.started()) wait_for_head(now);
      return;
    case http::ScanResult::Kind::kError:
      refuse(*scan.error, now);
      return;
    case http::ScanResult::Kind::kComplete:
      break;
  }
  commons_->timeouts.disarm(phase_);
  const std::string_view bytes = input_.bytes();
  request_bytes_ = scan.skip_bytes + scan.head_bytes;
  const auto error = http::parse_head(bytes.substr(scan.skip_bytes, scan.head_bytes),
                                      commons_->parser, head_, rights_.forwarding);
  if (error) {
    head_.fields.clear();  // of an unspecified state now
    head_.path = head_.query = {};
    refuse(*error, now);
    return;
  }
  // An origin server has nowhere to tunnel to, and nothing that an application would send with 2xx
  // could be framed (RFC 9110 section 9.3.6).
  if (head_.target_form == http::TargetForm::kAuthority) {
    refuse({501, "CONNECT is for proxies"}, now);
    return;
  }
  scheme_ = "http";
  if (rights_.forwarding == http::PeerTrust::kTrusted) {
    const auto scheme = commons_->forwarded_scheme.scheme(head_);
    if (!scheme) {
      refuse({400, "header fields contradict each other about the request's scheme"}, now);
      return;
    }
    scheme_ = *scheme;
  }
  transmitter_.begin_response();
  body_failed_ = false;
  decoder_.begin(head_, commons_->parser);
  if (!head_.has_body()) {
    continue_wanted_ = false;
    state_ = State::kWaiting;
    return;
  }
  start_body(bytes.substr(request_bytes_), now);
}

void Connection::start_body(std::string_view rest, base::TimePoint now) {
  body_used_ = true;
  if (head_.framing == http::BodyFraming::kLength && rest.size() >= head_.content_length) {
    const auto size = static_cast<std::size_t>(head_.content_length);
    std::string_view data;
    std::string_view left = rest.substr(0, size);
    while (!decoder_.complete()) left.remove_prefix(decoder_.decode(left, data).consumed);
    body_.set_whole(rest.substr(0, size));
    request_bytes_ += size;
    state_ = State::kWaiting;
    return;
  }
  // From here on input_ holds the request's head, and nothing is read into it any more.
  request_bytes_ += rest.size();
  body_.begin();
  state_ = State::kBody;
  continue_wanted_ = head_.expect_continue && rest.empty();
  may_enter_ = head_.expect_continue || commons_->enter_with_head;
  window_bytes_ = 0;
  commons_->timeouts.arm(phase_, TimeoutKind::kBody, now);
  commons_->timeouts.arm(rate_, TimeoutKind::kBodyRate, now);
  if (!may_enter_) commons_->timeouts.arm(entry_, TimeoutKind::kEntry, now);
  if (!rest.empty()) decode_body(rest, now);
}

void Connection::receive_body(base::TimePoint now) {
  const auto remaining = decoder_.remaining();
  if (state_ == State::kBody && remaining) {
    const auto wish = static_cast<std::size_t>(std::min<std::uint64_t>(*remaining, 1U << 20U));
    const std::span<char> space = body_.room(wish);
    if (!space.empty()) {
      const std::size_t size = receive(space, now);
      if (size == 0) return;
      body_.commit(size);
      std::string_view left(space.data(), size);
      std::string_view data;
      while (!left.empty()) left.remove_prefix(decoder_.decode(left, data).consumed);
      if (!decoder_.complete()) decoder_.decode({}, data);
      on_body_bytes(size, now);
      if (decoder_.complete()) on_body_complete(now);
      return;
    }
  }
  const std::span<char> space = commons_->buffers.scratch();
  const std::size_t size = receive(space, now);
  if (size > 0) decode_body({space.data(), size}, now);
}

void Connection::decode_body(std::string_view bytes, base::TimePoint now) {
  on_body_bytes(bytes.size(), now);
  for (;;) {
    std::string_view data;
    const http::DecodeResult result = decoder_.decode(bytes, data);
    bytes.remove_prefix(result.consumed);
    if (!data.empty() && state_ == State::kDiscard) {
      discarded_bytes_ += data.size();
    } else if (!data.empty()) {
      if (auto stored = body_.append(data); !stored) {
        base::log_error("{}", stored.error().message);
        fail_body({503, "the request body cannot be stored"}, EIO, now);
        return;
      }
    }
    switch (result.status) {
      case http::DecodeStatus::kData:
        continue;
      case http::DecodeStatus::kComplete:
        next_.append(bytes);
        on_body_complete(now);
        return;
      case http::DecodeStatus::kError:
        if (state_ == State::kDiscard) {
          body_failed_ = true;
          end(TimeoutKind::kLinger, now);
        } else {
          const http::ProtocolError error = *decoder_.error();
          fail_body(error, EPROTO, now);
        }
        return;
      case http::DecodeStatus::kNeedMore:
        break;
    }
    break;
  }
  if (state_ == State::kDiscard) {
    if (discarded_bytes_ > kDiscardBytes) end(TimeoutKind::kLinger, now);
  } else if (body_.full()) {
    // The client is not late while it is not read from.
    may_enter_ = true;
    commons_->timeouts.disarm(phase_);
    commons_->timeouts.disarm(rate_);
  }
}

void Connection::on_body_bytes(std::size_t count, base::TimePoint now) {
  window_bytes_ += count;
  if (phase_.armed()) commons_->timeouts.arm(phase_, TimeoutKind::kBody, now);
}

void Connection::on_body_complete(base::TimePoint now) {
  for (Timer* timer : {&phase_, &entry_, &rate_}) commons_->timeouts.disarm(*timer);
  if (state_ == State::kDiscard) {
    after_response(true, now);
    return;
  }
  body_.complete();
  if (state_ == State::kBody) state_ = State::kWaiting;
}

}  // namespace corn::server
