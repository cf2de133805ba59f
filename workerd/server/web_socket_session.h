// SPDX-License-Identifier: Apache-2.0
// A WebSocket on a connection that has switched to it: frames to messages and back, pings, the
// closing handshake. Loop's thread, with the engine held (loop_class.h).
#pragma once

#include <deque>
#include <string>

#include "workerd/app/web_socket.h"
#include "workerd/http/websocket.h"
#include "workerd/server/connection.h"
#include "workerd/server/exchange.h"

namespace corn::server {

class AsyncClass;

class WebSocketSession final : public app::WebSocket {
 public:
  // Messages kept for an application that doesn't take them: then the client isn't read from.
  static constexpr std::size_t kMostMessages = 32;
  static constexpr std::size_t kMostBytes = 1U << 20U;

  WebSocketSession(AsyncClass& owner, Connection& connection, Exchange& exchange);

  // ---- for the exchange ----
  // Bytes that came with the handshake may be the first.
  void begin(base::TimePoint now);
  void on_bytes(std::string_view bytes);
  [[nodiscard]] bool wants_bytes() const;
  void on_timer(TimeoutKind kind, base::TimePoint now);
  void on_client_gone();
  void on_drain();

  // app::WebSocket
  std::optional<app::WebSocketMessage> take_message() override;
  [[nodiscard]] const std::optional<app::WebSocketEnd>& end() const override { return end_; }
  void send(bool text, std::string_view payload) override;
  base::Status close(std::uint16_t code, std::string_view reason) override;

 private:
  void take(http::WebSocketEvent event);
  void send_control(http::WebSocketOpcode opcode, std::string_view payload);
  // Sends a close frame, and reports `reported`.
  void end_with(std::uint16_t sent, std::string_view reason, std::uint16_t reported);

  AsyncClass& owner_;
  Connection& connection_;
  Exchange& exchange_;
  http::WebSocketDecoder decoder_;
  std::deque<app::WebSocketMessage> messages_;
  std::size_t message_bytes_ = 0;
  std::optional<app::WebSocketEnd> end_;
  bool heard_ = false;  // since the timer was set
  std::string out_;
};

}  // namespace corn::server
