// SPDX-License-Identifier: Apache-2.0
// Addresses of services that this process sends to, as somebody wrote them and as the kernel takes
// them. Any thread.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace corn::base {

struct EndpointName {
  bool local = false;      // a unix socket, whose path `host` is
  std::string host;        // a name, or a numeric address without brackets
  std::uint16_t port = 0;  // 0 for a unix socket
};

// Reads "HOST", "HOST:PORT" or "[IPV6-ADDRESS]:PORT"; without a port it is `default_port`.
Result<EndpointName> parse_host_port(std::string_view text, std::uint16_t default_port);

struct Endpoint {
  sockaddr_storage address{};
  socklen_t size = 0;

  [[nodiscard]] bool local() const { return address.ss_family == AF_UNIX; }
};

// Finds the address of `name` for sockets of `type` (SOCK_DGRAM, SOCK_STREAM). Of a host's several
// addresses an IPv4 one is taken where there is one: services that listen for logs and metrics on
// "localhost" seldom do so on ::1 too. Waits for the name service unless the host is numeric.
Result<Endpoint> resolve(const EndpointName& name, int type);

// A socket that never waits and is closed on exec. Not connected.
Result<UniqueFd> open_socket(const Endpoint& endpoint, int type);

}  // namespace corn::base
