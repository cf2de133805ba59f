// SPDX-License-Identifier: Apache-2.0
// What a peer may say about the connection it forwards: gunicorn's forwarded_allow_ips and
// secure_scheme_headers. REMOTE_ADDR stays the peer's own address.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "workerd/http/request_head.h"

namespace corn::server {

// Peers that are believed. Constant after parse().
class TrustedPeers {
 public:
  // Addresses, networks in CIDR form, or "*" for everybody. Fails on anything else, naming
  // `setting`.
  static base::Result<TrustedPeers> parse(std::string_view setting,
                                          const std::vector<std::string>& entries);

  // A peer without an address (a unix socket's) is trusted, as by gunicorn: the socket's mode
  // decides who reaches it.
  [[nodiscard]] bool trusts(const sockaddr_storage& peer) const;

 private:
  struct Network {
    in6_addr address{};  // IPv4 as ::ffff:a.b.c.d
    unsigned prefix_bits = 128;
  };
  static std::optional<Network> parse_network(std::string_view text);

  bool everybody_ = false;
  std::vector<Network> networks_;
};

// Finds the scheme a request was sent with in the fields of a trusted peer. Constant after parse().
class ForwardedScheme {
 public:
  // Entries "NAME=VALUE": a field NAME with VALUE says https, with any other value http.
  static base::Result<ForwardedScheme> parse(const std::vector<std::string>& entries);

  // nullopt: fields contradict each other, which is answered 400.
  [[nodiscard]] std::optional<std::string_view> scheme(const http::RequestHead& head) const;

 private:
  struct Rule {
    std::string name;
    std::string value;
  };
  std::vector<Rule> rules_;
};

}  // namespace corn::server
