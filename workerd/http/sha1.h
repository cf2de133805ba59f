// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace corn::http {

// SHA-1 (RFC 3174), which the WebSocket handshake wants. Not for anything that must be secure.
std::array<std::uint8_t, 20> sha1(std::string_view bytes);

}  // namespace corn::http
