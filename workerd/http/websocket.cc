// SPDX-License-Identifier: Apache-2.0
// Frames, RFC 6455 section 5.
#include "workerd/http/websocket.h"

#include <algorithm>
#include <cstring>

namespace corn::http {
namespace {

constexpr std::uint8_t kFinal = 0x80;
constexpr std::uint8_t kReserved = 0x70;
constexpr std::uint8_t kMasked = 0x80;
constexpr std::uint8_t kLength16 = 126;
constexpr std::uint8_t kLength64 = 127;

// So much is kept for a message before its bytes have come, however much it announces.
constexpr std::size_t kBelieved = 64 * 1024;

bool is_control(WebSocketOpcode opcode) { return static_cast<std::uint8_t>(opcode) >= 8; }

void append_number(std::uint64_t number, int bytes, std::string& out) {
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) {
    out += static_cast<char>((number >> static_cast<unsigned>(shift)) & 0xffU);
  }
}

std::uint64_t number_at(const char* bytes, std::size_t count) {
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < count; ++i) {
    number = number << 8U | static_cast<unsigned char>(bytes[i]);
  }
  return number;
}

// Appends `bytes`, unmasked (section 5.3), a word at a time. `index`: where in the mask they begin.
void append_unmasked(std::string_view bytes, const unsigned char* mask, std::size_t& index,
                     std::string& out) {
  const std::size_t begin = out.size();
  out.append(bytes);
  char* at = out.data() + begin;
  unsigned char rotated[8];
  for (std::size_t i = 0; i < sizeof(rotated); ++i) rotated[i] = mask[(index + i) % 4];
  std::uint64_t mask_word = 0;
  std::memcpy(&mask_word, rotated, sizeof(mask_word));
  std::size_t done = 0;
  for (; done + sizeof(mask_word) <= bytes.size(); done += sizeof(mask_word)) {
    std::uint64_t word = 0;
    std::memcpy(&word, at + done, sizeof(word));
    word ^= mask_word;
    std::memcpy(at + done, &word, sizeof(word));
  }
  for (; done < bytes.size(); ++done) {
    at[done] = static_cast<char>(static_cast<unsigned char>(at[done]) ^ rotated[done % 4]);
  }
  index = (index + bytes.size()) % 4;
}

// `text` without the character that its end cuts in two.
std::string_view whole_characters(std::string_view text, std::size_t most) {
  if (text.size() <= most) return text;
  while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xc0U) == 0x80) --most;
  return text.substr(0, most);
}

}  // namespace

bool is_sendable_close_code(std::uint16_t code) {
  if (code >= 3000 && code <= 4999) return true;
  return code >= 1000 && code <= 1014 && code != 1004 && code != websocket_code::kNoStatus &&
         code != websocket_code::kAbnormal;
}

void append_websocket_frame_head(WebSocketOpcode opcode, std::uint64_t payload_bytes,
                                 std::string& out) {
  out += static_cast<char>(kFinal | static_cast<std::uint8_t>(opcode));
  if (payload_bytes < kLength16) {
    out += static_cast<char>(payload_bytes);
  } else if (payload_bytes <= 0xffff) {
    out += static_cast<char>(kLength16);
    append_number(payload_bytes, 2, out);
  } else {
    out += static_cast<char>(kLength64);
    append_number(payload_bytes, 8, out);
  }
}

void append_websocket_frame(WebSocketOpcode opcode, std::string_view payload, std::string& out) {
  append_websocket_frame_head(opcode, payload.size(), out);
  out.append(payload);
}

void append_websocket_close(std::uint16_t code, std::string_view reason, std::string& out) {
  std::string payload;
  if (code != websocket_code::kNoStatus) {
    append_number(code, 2, payload);
    payload += whole_characters(reason, kMaxCloseReasonBytes);
  }
  append_websocket_frame(WebSocketOpcode::kClose, payload, out);
}

void WebSocketDecoder::fail(std::uint16_t code, const char* reason) {
  state_ = State::kOver;
  error_ = WebSocketError{code, reason};
  message_ = std::string();
  control_.clear();
}

std::optional<WebSocketEvent> WebSocketDecoder::next(std::string_view& bytes) {
  for (;;) {
    switch (state_) {
      case State::kOver:
        return std::nullopt;
      case State::kHead:
        if (!take_head(bytes)) return std::nullopt;
        break;
      case State::kPayload:
        take_payload(bytes);
        if (state_ == State::kOver || left_ > 0) return std::nullopt;
        state_ = State::kHead;
        if (auto event = end_frame()) return event;
        break;
    }
  }
}

// False: more is needed, or the head is wrong.
bool WebSocketDecoder::take_head(std::string_view& bytes) {
  const auto wanted = [this]() -> std::size_t {
    if (head_size_ < 2) return 2;
    const std::uint8_t length = static_cast<std::uint8_t>(head_[1]) & 0x7fU;
    return 2U + 4U + (length == kLength16 ? 2U : length == kLength64 ? 8U : 0U);
  };
  while (head_size_ < wanted()) {
    if (bytes.empty()) return false;
    const std::size_t count = std::min(bytes.size(), wanted() - head_size_);
    std::memcpy(head_ + head_size_, bytes.data(), count);
    bytes.remove_prefix(count);
    head_size_ += count;
    // What is wrong is said before anything else is waited for.
    if (head_size_ == 2 && !understand_head()) return false;
  }
  const std::uint8_t length = static_cast<std::uint8_t>(head_[1]) & 0x7fU;
  std::size_t at = 2;
  left_ = length;
  if (length == kLength16) {
    left_ = number_at(head_ + at, 2);
    at += 2;
  } else if (length == kLength64) {
    left_ = number_at(head_ + at, 8);
    at += 8;
  }
  // Section 5.2: the shortest form is used, and the highest bit is 0.
  if ((length == kLength16 && left_ < kLength16) || (length == kLength64 && left_ <= 0xffff) ||
      (left_ >> 63U) != 0) {
    fail(websocket_code::kProtocolError, "a frame's length is not in its shortest form");
    return false;
  }
  if (!is_control(opcode_) &&
      left_ > max_message_ - std::min<std::uint64_t>(message_.size(), max_message_)) {
    fail(websocket_code::kTooBig, "the message is too big");
    return false;
  }
  std::memcpy(mask_, head_ + at, sizeof(mask_));
  mask_index_ = 0;
  head_size_ = 0;
  state_ = State::kPayload;
  if (!is_control(opcode_)) {
    message_.reserve(message_.size() +
                     static_cast<std::size_t>(std::min<std::uint64_t>(left_, kBelieved)));
  }
  return true;
}

bool WebSocketDecoder::understand_head() {
  const auto first = static_cast<std::uint8_t>(head_[0]);
  const auto second = static_cast<std::uint8_t>(head_[1]);
  const std::uint8_t code = first & 0x0fU;
  const bool known = code <= 2 || (code >= 8 && code <= 10);
  opcode_ = static_cast<WebSocketOpcode>(code);
  final_ = (first & kFinal) != 0;
  const char* wrong = nullptr;
  if ((first & kReserved) != 0) {
    wrong = "a reserved bit is set";
  } else if (!known) {
    wrong = "a frame is of an unknown kind";
  } else if ((second & kMasked) == 0) {
    wrong = "a client's frame is not masked";
  } else if (is_control(opcode_) && (!final_ || (second & 0x7fU) > kMaxControlBytes)) {
    wrong = "a control frame is fragmented or too long";
  } else if (opcode_ == WebSocketOpcode::kContinuation && !in_message_) {
    wrong = "a continuation frame continues nothing";
  } else if (!is_control(opcode_) && opcode_ != WebSocketOpcode::kContinuation && in_message_) {
    wrong = "a message begins within another";
  }
  if (wrong != nullptr) {
    fail(websocket_code::kProtocolError, wrong);
    return false;
  }
  if (!is_control(opcode_) && opcode_ != WebSocketOpcode::kContinuation) {
    in_message_ = true;
    text_ = opcode_ == WebSocketOpcode::kText;
    utf8_.reset();
  }
  return true;
}

void WebSocketDecoder::take_payload(std::string_view& bytes) {
  const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), left_));
  std::string& target = is_control(opcode_) ? control_ : message_;
  const std::size_t begin = target.size();
  append_unmasked(bytes.substr(0, count), mask_, mask_index_, target);
  bytes.remove_prefix(count);
  left_ -= count;
  if (!is_control(opcode_) && text_ && !utf8_.feed(std::string_view(target).substr(begin))) {
    fail(websocket_code::kInvalidData, "a text message is not UTF-8");
  }
}

std::optional<WebSocketEvent> WebSocketDecoder::end_frame() {
  if (is_control(opcode_)) return end_control();
  if (!final_) return std::nullopt;
  if (text_ && !utf8_.complete()) {
    fail(websocket_code::kInvalidData, "a text message is not UTF-8");
    return std::nullopt;
  }
  in_message_ = false;
  WebSocketEvent event;
  event.kind = text_ ? WebSocketEvent::Kind::kText : WebSocketEvent::Kind::kBinary;
  event.payload.swap(message_);
  return event;
}

std::optional<WebSocketEvent> WebSocketDecoder::end_control() {
  WebSocketEvent event;
  event.payload.swap(control_);
  if (opcode_ != WebSocketOpcode::kClose) {
    event.kind = opcode_ == WebSocketOpcode::kPing ? WebSocketEvent::Kind::kPing
                                                   : WebSocketEvent::Kind::kPong;
    return event;
  }
  event.kind = WebSocketEvent::Kind::kClose;
  event.code = websocket_code::kNoStatus;
  if (!event.payload.empty()) {
    if (event.payload.size() < 2) {
      fail(websocket_code::kProtocolError, "a close frame has half a code");
      return std::nullopt;
    }
    event.code = static_cast<std::uint16_t>(number_at(event.payload.data(), 2));
    event.payload.erase(0, 2);
    Utf8Validator reason;
    if (!is_sendable_close_code(event.code)) {
      fail(websocket_code::kProtocolError, "a close frame's code may not be sent");
      return std::nullopt;
    }
    if (!reason.feed(event.payload) || !reason.complete()) {
      fail(websocket_code::kInvalidData, "a close frame's reason is not UTF-8");
      return std::nullopt;
    }
  }
  state_ = State::kOver;
  return event;
}

}  // namespace corn::http
