// SPDX-License-Identifier: Apache-2.0
// The opening handshake, RFC 6455 section 4.
#include <algorithm>
#include <array>
#include <cerrno>

#include "workerd/http/chars.h"
#include "workerd/http/response_encoder.h"
#include "workerd/http/sha1.h"
#include "workerd/http/websocket.h"

namespace corn::http {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

std::string base64(std::span<const std::uint8_t> bytes) {
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t group = 0;
    for (std::size_t j = 0; j < 3; ++j) group = group << 8U | (j < count ? bytes[i + j] : 0U);
    for (std::size_t j = 0; j < 4; ++j) {
      text += j <= count ? kAlphabet[(group >> (18 - 6 * j)) & 63U] : '=';
    }
  }
  return text;
}

// Base64 of sixteen bytes (section 4.1, item 7): 22 characters of it, of which the last carries two
// bits, and two of padding.
bool is_key(std::string_view key) {
  constexpr std::size_t kCharacters = 22;
  if (key.size() != kCharacters + 2 || !key.ends_with("==")) return false;
  for (const char c : key.substr(0, kCharacters)) {
    if (kAlphabet.find(c) == std::string_view::npos) return false;
  }
  return std::string_view("AQgw").find(key[kCharacters - 1]) != std::string_view::npos;
}

bool has_member(std::string_view list, std::string_view lower) {
  bool found = false;
  for_each_member(list, [&](std::string_view member) {
    found = found || equals_lower(member, lower);
    return true;
  });
  return found;
}

std::size_t count(const RequestHead& head, std::string_view lower) {
  std::size_t number = 0;
  for (const Field& field : head.fields) number += equals_lower(field.name, lower) ? 1U : 0U;
  return number;
}

bool belongs_to_handshake(std::string_view name) {
  return equals_lower(name, "sec-websocket-accept") ||
         equals_lower(name, "sec-websocket-protocol") ||
         equals_lower(name, "sec-websocket-extensions") || equals_lower(name, "upgrade") ||
         equals_lower(name, "connection") || equals_lower(name, "content-length") ||
         equals_lower(name, "transfer-encoding");
}

void append_field(std::string_view name, std::string_view value, std::string& out) {
  out.append(name).append(": ").append(value).append("\r\n");
}

}  // namespace

bool asks_for_websocket(const RequestHead& head) {
  if (!head.upgrade) return false;
  const Field* upgrade = head.find("Upgrade");
  return upgrade != nullptr && has_member(upgrade->value, "websocket");
}

std::optional<ProtocolError> check_websocket_request(const RequestHead& head) {
  if (head.method != "GET" || !head.at_least_1_1()) {
    return protocol_error(400, "a WebSocket is opened by GET with HTTP/1.1", head.method);
  }
  if (head.has_body()) return protocol_error(400, "a WebSocket's opening request has no body");
  const Field* version = head.find("Sec-WebSocket-Version");
  if (version == nullptr || version->value != "13") {
    return protocol_error(426, "version 13 of the WebSocket protocol is wanted",
                          version != nullptr ? version->value : std::string_view());
  }
  const Field* key = head.find("Sec-WebSocket-Key");
  if (key == nullptr || count(head, "sec-websocket-key") != 1 || !is_key(key->value)) {
    return protocol_error(400, "Sec-WebSocket-Key is missing or is not sixteen bytes in base64",
                          key != nullptr ? key->value : std::string_view());
  }
  return std::nullopt;
}

std::string websocket_accept(std::string_view key) {
  return base64(sha1(std::string(key) + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
}

std::vector<std::string_view> websocket_subprotocols(const RequestHead& head) {
  std::vector<std::string_view> offered;
  for (const Field& field : head.fields) {
    if (!equals_lower(field.name, "sec-websocket-protocol")) continue;
    for_each_member(field.value, [&offered](std::string_view member) {
      if (!member.empty()) offered.push_back(member);
      return true;
    });
  }
  return offered;
}

base::Status append_websocket_response(const RequestHead& head, std::string_view subprotocol,
                                       std::span<const Field> fields, std::string_view date,
                                       std::string& out) {
  if (!subprotocol.empty() && !is_token(subprotocol)) {
    return base::fail("a subprotocol's name is a token (RFC 6455 section 4.1)", EINVAL);
  }
  for (const Field& field : fields) {
    if (belongs_to_handshake(field.name)) {
      return base::fail("the field " + std::string(field.name) +
                            " belongs to the handshake, which the server answers",
                        EINVAL);
    }
  }
  if (auto good = check_response_head({"101 Switching Protocols", fields}); !good) return good;
  const Field* key = head.find("Sec-WebSocket-Key");
  out += "HTTP/1.1 101 Switching Protocols\r\n";
  append_field("Server", "corn", out);
  append_field("Date", date, out);
  append_field("Upgrade", "websocket", out);
  append_field("Connection", "Upgrade", out);
  append_field("Sec-WebSocket-Accept", websocket_accept(key != nullptr ? key->value : ""), out);
  if (!subprotocol.empty()) append_field("Sec-WebSocket-Protocol", subprotocol, out);
  for (const Field& field : fields) append_field(field.name, field.value, out);
  out += "\r\n";
  return {};
}

}  // namespace corn::http
