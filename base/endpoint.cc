// SPDX-License-Identifier: Apache-2.0
#include "base/endpoint.h"

#include <netdb.h>
#include <sys/un.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>

namespace corn::base {
namespace {

bool read_port(std::string_view text, std::uint16_t& port) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return !text.empty() && error == std::errc() && end == text.data() + text.size() && port != 0;
}

Result<Endpoint> local_endpoint(const std::string& path) {
  sockaddr_un address{};
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return fail("the path of a unix socket has 1 to " +
                std::to_string(sizeof address.sun_path - 1) + " bytes; this one has " +
                std::to_string(path.size()));
  }
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  Endpoint endpoint;
  std::memcpy(&endpoint.address, &address, sizeof address);
  endpoint.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
  return endpoint;
}

}  // namespace

Result<EndpointName> parse_host_port(std::string_view text, std::uint16_t default_port) {
  EndpointName name;
  name.port = default_port;
  std::string_view rest;
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos) return fail("']' is missing after the IPv6 address");
    name.host = text.substr(1, end - 1);
    rest = text.substr(end + 1);
  } else {
    const std::size_t colon = text.find(':');
    if (colon != std::string_view::npos && text.find(':', colon + 1) != std::string_view::npos) {
      return fail("an IPv6 address stands in brackets, as in [::1]:8125");
    }
    name.host = text.substr(0, colon);
    rest = colon == std::string_view::npos ? std::string_view() : text.substr(colon);
  }
  if (name.host.empty()) return fail("there is no host before the port");
  if (name.host.find_first_of("/ \t@") != std::string::npos) {
    return fail("'" + name.host + "' is no host's name or address");
  }
  if (rest.empty()) return name;
  if (!rest.starts_with(':') || !read_port(rest.substr(1), name.port)) {
    return fail("a port is a number from 1 to 65535");
  }
  return name;
}

Result<Endpoint> resolve(const EndpointName& name, int type) {
  if (name.local) return local_endpoint(name.host);
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = type;
  addrinfo* list = nullptr;
  const std::string port = std::to_string(name.port);
  if (const int error = ::getaddrinfo(name.host.c_str(), port.c_str(), &hints, &list); error != 0) {
    return fail("no address is known of the host '" + name.host + "': " + ::gai_strerror(error));
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(list, &::freeaddrinfo);
  const addrinfo* chosen = list;
  for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
    if (entry->ai_family != AF_INET) continue;
    chosen = entry;
    break;
  }
  Endpoint endpoint;
  std::memcpy(&endpoint.address, chosen->ai_addr, chosen->ai_addrlen);
  endpoint.size = chosen->ai_addrlen;
  return endpoint;
}

Result<UniqueFd> open_socket(const Endpoint& endpoint, int type) {
  UniqueFd socket(::socket(endpoint.address.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return fail_errno("cannot make a socket", errno);
  return socket;
}

}  // namespace corn::base
