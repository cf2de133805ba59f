// SPDX-License-Identifier: Apache-2.0
// The PROXY protocol's header, by which a load balancer tells whose connection it forwards
// (https://www.haproxy.org/download/2.8/doc/proxy-protocol.txt). It stands once, before the first
// request of a connection; whether the peer may send one is for the caller to check.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/worker_config.h"
#include "workerd/http/error.h"

namespace corn::http {

using ProxyProtocolMode = base::ProxyProtocol;

struct ProxyHeader {
  int version = 1;
  // "TCP4", "TCP6", "UNIX", "UNKNOWN" or "LOCAL". The last three carry no addresses: the
  // connection's own hold.
  std::string protocol;
  std::string client_address;
  std::uint16_t client_port = 0;
  std::string proxy_address;
  std::uint16_t proxy_port = 0;

  [[nodiscard]] bool has_addresses() const { return !client_address.empty(); }
};

struct ProxyResult {
  enum class Kind : std::uint8_t {
    kNeedMore,
    kAbsent,    // the bytes are no PROXY header of a version that `mode` allows
    kComplete,  // `header` is set; the request starts at consumed_bytes
    kError,     // `error` is set
  };
  Kind kind = Kind::kNeedMore;
  std::size_t consumed_bytes = 0;
  std::optional<ProxyHeader> header = std::nullopt;
  std::optional<ProtocolError> error = std::nullopt;
};

// Longest headers: version 1 by definition, version 2 by its 16-bit length.
inline constexpr std::size_t kMaxProxyV1Bytes = 107;
inline constexpr std::size_t kMaxProxyV2Bytes = 16 + 65535;

// `buffer`: everything received so far. Reads at most one line or one binary header; call again
// with more bytes after kNeedMore.
ProxyResult parse_proxy_header(std::string_view buffer, ProxyProtocolMode mode);

}  // namespace corn::http
