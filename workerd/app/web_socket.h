// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace corn::app {

// A whole message.
struct WebSocketMessage {
  bool text = false;  // then the payload is valid UTF-8
  std::string payload;
};

// How a WebSocket ended: the code and reason of the first close frame, whoever sent it; 1005 where
// it had none, 1006 where there was none (RFC 6455 section 7.1.5).
struct WebSocketEnd {
  std::uint16_t code = 0;
  std::string reason;
};

// The engine's end of an accepted WebSocket. Pings are answered and sent by the engine. Part of its
// exchange (async.h), whose handler is told of what comes; leave() closes the connection.
class WebSocket {
 public:
  virtual ~WebSocket() = default;

  // The next message that the client has sent. nullopt: none now; more is received only as
  // messages are taken.
  virtual std::optional<WebSocketMessage> take_message() = 0;

  // nullopt while it is open. Messages that came before may still be there to be taken.
  [[nodiscard]] virtual const std::optional<WebSocketEnd>& end() const = 0;

  // Sends one message; nothing when the WebSocket has ended.
  virtual void send(bool text, std::string_view payload) = 0;

  // Ends it with a close frame. Fails, changing nothing, for a code that may not be sent or a
  // reason longer than 123 bytes; does nothing when it has ended.
  virtual base::Status close(std::uint16_t code, std::string_view reason) = 0;
};

}  // namespace corn::app
