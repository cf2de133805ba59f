// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/os/bind_address.h"

#include <sys/un.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

namespace corn::os {
namespace {

constexpr std::uint16_t kDefaultPort = 8000;
constexpr std::size_t kLongestUnixPath = sizeof(sockaddr_un::sun_path) - 1;

tl::unexpected<base::Error> refuse(std::string_view text, const std::string& reason) {
  return base::fail("cannot listen on '" + std::string(text) + "': " + reason +
                    "; write HOST:PORT, [IPV6]:PORT, :PORT, unix:PATH or fd://N");
}

bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

template <typename Number>
std::optional<Number> parse_number(std::string_view text) {
  Number number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

bool is_decimal(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(),
                                      [](char byte) { return byte >= '0' && byte <= '9'; });
}

std::string to_lower(std::string_view text) {
  std::string lower(text);
  for (char& byte : lower) {
    if (byte >= 'A' && byte <= 'Z') byte = static_cast<char>(byte - 'A' + 'a');
  }
  return lower;
}

base::Result<BindAddress> parse_unix(std::string_view whole, std::string_view path) {
  BindAddress address;
  address.kind = BindAddress::Kind::kUnix;
  if (take_prefix(path, "@")) address.kind = BindAddress::Kind::kUnixAbstract;
  if (path.empty()) return refuse(whole, "the path is missing");
  if (path.find('\0') != std::string_view::npos) return refuse(whole, "the path has a NUL byte");
  // An abstract name has one byte in front of it instead of one behind it.
  if (path.size() > kLongestUnixPath) {
    return refuse(whole, "the path has " + std::to_string(path.size()) + " bytes, and a unix " +
                             "socket's may have " + std::to_string(kLongestUnixPath));
  }
  address.path = path;
  return address;
}

base::Result<BindAddress> parse_descriptor(std::string_view whole, std::string_view number) {
  const std::optional<int> descriptor = parse_number<int>(number);
  if (!descriptor || *descriptor < 0) {
    return refuse(whole, "'" + std::string(number) + "' is not a descriptor's number");
  }
  BindAddress address;
  address.kind = BindAddress::Kind::kDescriptor;
  address.descriptor = *descriptor;
  return address;
}

base::Result<BindAddress> parse_tcp(std::string_view whole, std::string_view text) {
  BindAddress address;
  address.port = kDefaultPort;
  std::string_view host = text;
  std::optional<std::string_view> port;

  if (take_prefix(host, "[")) {
    const std::size_t end = host.find(']');
    if (end == std::string_view::npos) return refuse(whole, "']' is missing");
    std::string_view rest = host.substr(end + 1);
    host = host.substr(0, end);
    if (host.empty()) return refuse(whole, "there is no address in the brackets");
    if (take_prefix(rest, ":")) {
      port = rest;
    } else if (!rest.empty()) {
      return refuse(whole, "':PORT' must follow the ']'");
    }
  } else if (const std::size_t colon = text.find(':'); colon != std::string_view::npos) {
    if (text.find(':', colon + 1) != std::string_view::npos) {
      return refuse(whole, "an IPv6 address needs brackets");
    }
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
  } else if (is_decimal(text)) {
    return refuse(whole, "a port alone could mean any host; did you mean :" + std::string(text));
  }

  if (port) {
    const std::optional<std::uint16_t> number = parse_number<std::uint16_t>(*port);
    if (!number) {
      return refuse(whole, "'" + std::string(*port) + "' is not a port (0 to 65535)");
    }
    address.port = *number;
  }
  address.host = host.empty() ? "0.0.0.0" : to_lower(host);
  return address;
}

}  // namespace

std::string BindAddress::text() const {
  switch (kind) {
    case Kind::kTcp: {
      const bool needs_brackets = host.find(':') != std::string::npos;
      return (needs_brackets ? "[" + host + "]" : host) + ":" + std::to_string(port);
    }
    case Kind::kUnix:
      return "unix:" + path;
    case Kind::kUnixAbstract:
      return "unix:@" + path;
    case Kind::kDescriptor:
      return "fd://" + std::to_string(descriptor);
  }
  return {};
}

base::Result<BindAddress> parse_bind_address(std::string_view text) {
  std::string_view rest = text;
  if (take_prefix(rest, "unix:")) {
    take_prefix(rest, "//");
    return parse_unix(text, rest);
  }
  if (take_prefix(rest, "fd://")) return parse_descriptor(text, rest);
  take_prefix(rest, "tcp://");
  if (const std::size_t scheme = rest.find("://"); scheme != std::string_view::npos) {
    return refuse(text, "'" + std::string(rest.substr(0, scheme)) + "://' is not known here");
  }
  return parse_tcp(text, rest);
}

}  // namespace corn::os
