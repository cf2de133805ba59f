// SPDX-License-Identifier: Apache-2.0
#include "workerd/server/forwarded.h"

#include <arpa/inet.h>

#include <charconv>
#include <cstring>

#include "workerd/server/field_name.h"

namespace corn::server {
namespace {

constexpr unsigned kMappedPrefixBits = 96;  // of ::ffff:0:0/96, RFC 4291 section 2.5.5.2

in6_addr mapped(const in_addr& address) {
  in6_addr result{};
  result.s6_addr[10] = result.s6_addr[11] = 0xff;
  std::memcpy(&result.s6_addr[12], &address, sizeof(address));
  return result;
}

bool equal_prefix(const in6_addr& a, const in6_addr& b, unsigned bits) {
  const unsigned bytes = bits / 8;
  if (std::memcmp(&a, &b, bytes) != 0) return false;
  const unsigned rest = bits % 8;
  if (rest == 0) return true;
  const unsigned mask = 0xffU << (8 - rest);
  return ((a.s6_addr[bytes] ^ b.s6_addr[bytes]) & mask) == 0;
}

}  // namespace

std::optional<TrustedPeers::Network> TrustedPeers::parse_network(std::string_view text) {
  const std::size_t slash = text.find('/');
  const std::string address(text.substr(0, slash));
  Network network;
  unsigned longest = 128;
  if (in_addr v4{}; ::inet_pton(AF_INET, address.c_str(), &v4) == 1) {
    network.address = mapped(v4);
    longest = 32;
  } else if (::inet_pton(AF_INET6, address.c_str(), &network.address) != 1) {
    return std::nullopt;
  }
  unsigned bits = longest;
  if (slash != std::string_view::npos) {
    const std::string_view digits = text.substr(slash + 1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), bits);
    if (error != std::errc() || end != digits.data() + digits.size() || bits > longest) {
      return std::nullopt;
    }
  }
  network.prefix_bits = longest == 32 ? bits + kMappedPrefixBits : bits;
  return network;
}

base::Result<TrustedPeers> TrustedPeers::parse(std::string_view setting,
                                               const std::vector<std::string>& entries) {
  TrustedPeers peers;
  for (const std::string& entry : entries) {
    if (entry == "*") {
      peers.everybody_ = true;
    } else if (auto network = parse_network(entry)) {
      peers.networks_.push_back(*network);
    } else {
      return base::fail(std::string(setting) + ": '" + entry +
                        "' is neither an address, nor a network such as 10.0.0.0/8, nor *");
    }
  }
  return peers;
}

bool TrustedPeers::trusts(const sockaddr_storage& peer) const {
  in6_addr address{};
  if (peer.ss_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, &peer, sizeof(v4));
    address = mapped(v4.sin_addr);
  } else if (peer.ss_family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, &peer, sizeof(v6));
    address = v6.sin6_addr;
  } else {
    return true;
  }
  if (everybody_) return true;
  for (const Network& network : networks_) {
    if (equal_prefix(address, network.address, network.prefix_bits)) return true;
  }
  return false;
}

base::Result<ForwardedScheme> ForwardedScheme::parse(const std::vector<std::string>& entries) {
  ForwardedScheme result;
  for (const std::string& entry : entries) {
    const std::size_t equals = entry.find('=');
    if (equals == 0 || equals == std::string::npos) {
      return base::fail("secure_scheme_headers: '" + entry + "' is not of the form NAME=VALUE");
    }
    result.rules_.push_back({entry.substr(0, equals), entry.substr(equals + 1)});
  }
  return result;
}

std::optional<std::string_view> ForwardedScheme::scheme(const http::RequestHead& head) const {
  std::optional<bool> secure;
  if (!rules_.empty()) {
    for (const http::Field& field : head.fields) {
      for (const Rule& rule : rules_) {
        if (!same_field_name(field.name, rule.name)) continue;
        const bool says_secure = field.value == rule.value;
        if (secure && *secure != says_secure) return std::nullopt;
        secure = says_secure;
      }
    }
  }
  return secure.value_or(false) ? "https" : "http";
}

}  // namespace corn::server
