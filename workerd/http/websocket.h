// SPDX-License-Identifier: Apache-2.0
// The WebSocket protocol (RFC 6455) as a server speaks it, without I/O: the opening handshake and
// the codec of frames. Extensions are not negotiated, so reserved bits are never set.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "workerd/http/error.h"
#include "workerd/http/request_head.h"
#include "workerd/http/utf8.h"

namespace corn::http {

// ---- the opening handshake (section 4.2) ----

// The request asks for an upgrade to the WebSocket protocol, rightly or wrongly.
bool asks_for_websocket(const RequestHead& head);

// What is wrong with a request for which asks_for_websocket() holds; nullopt: nothing. 426 is to be
// answered with `Sec-WebSocket-Version: 13`.
std::optional<ProtocolError> check_websocket_request(const RequestHead& head);

// The value of Sec-WebSocket-Accept for a Sec-WebSocket-Key.
std::string websocket_accept(std::string_view key);

// The subprotocols that the client offers, in its order of preference. Views of `head`.
std::vector<std::string_view> websocket_subprotocols(const RequestHead& head);

// Appends the 101 response. `subprotocol`: empty, or one of the client's; `fields`: further ones.
// Fails, having appended nothing, when a field is malformed or belongs to the handshake.
base::Status append_websocket_response(const RequestHead& head, std::string_view subprotocol,
                                       std::span<const Field> fields, std::string_view date,
                                       std::string& out);

// ---- frames (section 5) ----

enum class WebSocketOpcode : std::uint8_t {
  kContinuation = 0,
  kText = 1,
  kBinary = 2,
  kClose = 8,
  kPing = 9,
  kPong = 10,
};

// Close codes that this side sends, or reports (section 7.4.1).
namespace websocket_code {
inline constexpr std::uint16_t kNormal = 1000;
inline constexpr std::uint16_t kGoingAway = 1001;
inline constexpr std::uint16_t kProtocolError = 1002;
inline constexpr std::uint16_t kNoStatus = 1005;  // reported: the close frame had none
inline constexpr std::uint16_t kAbnormal = 1006;  // reported: the connection ended without one
inline constexpr std::uint16_t kInvalidData = 1007;
inline constexpr std::uint16_t kTooBig = 1009;
inline constexpr std::uint16_t kInternalError = 1011;
inline constexpr std::uint16_t kServiceRestart = 1012;
}  // namespace websocket_code

// A code that may stand in a close frame (section 7.4).
bool is_sendable_close_code(std::uint16_t code);

// Longest payload of a control frame, and longest reason beside the code of a close frame.
inline constexpr std::size_t kMaxControlBytes = 125;
inline constexpr std::size_t kMaxCloseReasonBytes = 123;

// Appends one unmasked, final frame, as servers send them.
void append_websocket_frame(WebSocketOpcode opcode, std::string_view payload, std::string& out);
// Appends the head alone, for a payload that is sent from where it is.
void append_websocket_frame_head(WebSocketOpcode opcode, std::uint64_t payload_bytes,
                                 std::string& out);
// Appends a close frame. kNoStatus: without code and reason. The reason is cut where it is too
// long, between two characters.
void append_websocket_close(std::uint16_t code, std::string_view reason, std::string& out);

// What a client has sent.
struct WebSocketEvent {
  enum class Kind : std::uint8_t { kText, kBinary, kPing, kPong, kClose };
  Kind kind = Kind::kText;
  // A whole message, put together from its fragments and valid UTF-8 where it is text; a control
  // frame's payload; a close frame's reason.
  std::string payload;
  std::uint16_t code = 0;  // kClose; kNoStatus where the frame had none
};

// Why a client's bytes end the connection: the code to send and a reason.
struct WebSocketError {
  std::uint16_t code = websocket_code::kProtocolError;
  const char* reason = "";
};

// Takes a client's bytes in pieces of any size.
class WebSocketDecoder {
 public:
  // Messages over `max_message_bytes` are an error as soon as their size is known.
  explicit WebSocketDecoder(std::uint64_t max_message_bytes) : max_message_(max_message_bytes) {}

  // Takes bytes from the front of `bytes` until there is an event, an error, or nothing left;
  // what it has taken is removed. nullopt: all is taken, or error() says why no more is. After a
  // close frame or an error nothing is taken any more.
  std::optional<WebSocketEvent> next(std::string_view& bytes);

  [[nodiscard]] const std::optional<WebSocketError>& error() const { return error_; }

  // Bytes held of a message that isn't whole.
  [[nodiscard]] std::size_t held_bytes() const { return message_.size(); }

 private:
  enum class State : std::uint8_t { kHead, kPayload, kOver };

  bool take_head(std::string_view& bytes);
  bool understand_head();
  void take_payload(std::string_view& bytes);
  std::optional<WebSocketEvent> end_frame();
  std::optional<WebSocketEvent> end_control();
  void fail(std::uint16_t code, const char* reason);

  const std::uint64_t max_message_;
  State state_ = State::kHead;
  std::optional<WebSocketError> error_;

  // Of the frame at hand.
  char head_[14] = {};
  std::size_t head_size_ = 0;
  std::uint64_t left_ = 0;  // of its payload
  unsigned char mask_[4] = {};
  std::size_t mask_index_ = 0;
  WebSocketOpcode opcode_ = WebSocketOpcode::kContinuation;
  bool final_ = false;
  std::string control_;

  // Of the message at hand.
  bool in_message_ = false;
  bool text_ = false;
  std::string message_;
  Utf8Validator utf8_;
};

}  // namespace corn::http
