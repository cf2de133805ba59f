// SPDX-License-Identifier: Apache-2.0
#include "workerd/server/web_socket_session.h"

#include <cerrno>
#include <utility>

#include "workerd/server/async_class.h"

namespace corn::server {

namespace code = http::websocket_code;

WebSocketSession::WebSocketSession(AsyncClass& owner, Connection& connection, Exchange& exchange)
    : owner_(owner),
      connection_(connection),
      exchange_(exchange),
      decoder_(connection.commons().config.websocket_max_message) {}

void WebSocketSession::begin(base::TimePoint now) {
  on_bytes(connection_.switch_protocol());
  connection_.set_inside_timer(TimeoutKind::kPing, now);
}

bool WebSocketSession::wants_bytes() const {
  return end_ || (messages_.size() < kMostMessages && message_bytes_ < kMostBytes);
}

void WebSocketSession::on_bytes(std::string_view bytes) {
  heard_ = true;
  if (end_) return;  // what follows the end means nothing
  while (auto event = decoder_.next(bytes)) take(*std::move(event));
  if (const auto& error = decoder_.error(); error && !end_) {
    end_with(error->code, error->reason, error->code);
  }
}

void WebSocketSession::take(http::WebSocketEvent event) {
  switch (event.kind) {
    case http::WebSocketEvent::Kind::kText:
    case http::WebSocketEvent::Kind::kBinary:
      message_bytes_ += event.payload.size();
      messages_.push_back(
          {event.kind == http::WebSocketEvent::Kind::kText, std::move(event.payload)});
      break;
    case http::WebSocketEvent::Kind::kPing:
      send_control(http::WebSocketOpcode::kPong, event.payload);
      break;
    case http::WebSocketEvent::Kind::kPong:
      break;
    case http::WebSocketEvent::Kind::kClose:
      // Answered with the same code (RFC 6455 section 5.5.1).
      end_with(event.code, {}, event.code);
      end_->reason = std::move(event.payload);
      break;
  }
}

void WebSocketSession::on_timer(TimeoutKind kind, base::TimePoint now) {
  if (end_) return;
  if (std::exchange(heard_, false)) {
    connection_.set_inside_timer(TimeoutKind::kPing, now);
  } else if (kind == TimeoutKind::kPing) {
    send_control(http::WebSocketOpcode::kPing, {});
    connection_.set_inside_timer(TimeoutKind::kPong, now);
  } else {
    end_with(code::kInternalError, "no answer to a ping", code::kAbnormal);
  }
}

void WebSocketSession::on_client_gone() {
  if (!end_) end_ = {code::kAbnormal, {}};
}

void WebSocketSession::on_drain() {
  if (end_) return;
  const bool for_good =
      connection_.commons().leaving.load(std::memory_order_relaxed) == Leaving::kHurrying;
  const std::uint16_t why = for_good ? code::kGoingAway : code::kServiceRestart;
  end_with(why, for_good ? "the service goes away" : "the service restarts", why);
}

std::optional<app::WebSocketMessage> WebSocketSession::take_message() {
  if (messages_.empty()) return std::nullopt;
  const bool paused = !wants_bytes();
  app::WebSocketMessage message = std::move(messages_.front());
  messages_.pop_front();
  message_bytes_ -= message.payload.size();
  if (paused && wants_bytes()) owner_.reactor().post_body_emptied(connection_.id());
  return message;
}

void WebSocketSession::send_control(http::WebSocketOpcode opcode, std::string_view payload) {
  // A client that takes nothing is not answered without end.
  if (connection_.transmitter().queued_bytes() > kMostBytes) return;
  out_.clear();
  http::append_websocket_frame(opcode, payload, out_);
  exchange_.send_raw(out_, {});
}

void WebSocketSession::send(bool text, std::string_view payload) {
  if (end_) return;
  constexpr std::size_t kCopyBytes = 16 * 1024;
  const auto opcode = text ? http::WebSocketOpcode::kText : http::WebSocketOpcode::kBinary;
  const AsyncClass::Hold hold(owner_);
  out_.clear();
  if (payload.size() <= kCopyBytes) {
    http::append_websocket_frame(opcode, payload, out_);
    exchange_.send_raw(out_, {});
  } else {
    http::append_websocket_frame_head(opcode, payload.size(), out_);
    exchange_.send_raw(out_, payload);
  }
}

base::Status WebSocketSession::close(std::uint16_t close_code, std::string_view reason) {
  if (!http::is_sendable_close_code(close_code)) {
    return base::fail("code " + std::to_string(close_code) + " may not be sent in a close frame",
                      EINVAL);
  }
  if (reason.size() > http::kMaxCloseReasonBytes) {
    return base::fail("the reason of a close frame has at most 123 bytes", EINVAL);
  }
  if (end_) return {};
  const AsyncClass::Hold hold(owner_);
  end_with(close_code, reason, close_code);
  end_->reason = reason;
  return {};
}

void WebSocketSession::end_with(std::uint16_t sent, std::string_view reason,
                                std::uint16_t reported) {
  out_.clear();
  http::append_websocket_close(sent, reason, out_);
  exchange_.send_raw(out_, {});
  end_ = {reported, std::string(reason)};
}

}  // namespace corn::server
