// SPDX-License-Identifier: Apache-2.0
#include "workerd/http/request_line.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "workerd/http/chars.h"

namespace corn::http {
namespace {

constexpr std::size_t kShortestMethod = 3;
constexpr std::size_t kLongestMethod = 20;

bool is_valid_port(std::string_view digits) {
  std::uint16_t port = 0;
  const char* const end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, port);
  return digits.empty() || (error == std::errc() && stop == end);
}

bool is_ipv6_address(std::string_view text) {
  std::array<char, INET6_ADDRSTRLEN> terminated{};
  if (text.size() >= terminated.size()) return false;
  std::memcpy(terminated.data(), text.data(), text.size());
  in6_addr address{};
  return inet_pton(AF_INET6, terminated.data(), &address) == 1;
}

bool is_registered_name(std::string_view name) {
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (is(name[i], kHostChar)) continue;
    const bool percent_encoded = name[i] == '%' && name.size() - i > 2 &&
                                 is(name[i + 1], kHexDigit) && is(name[i + 2], kHexDigit);
    if (!percent_encoded) return false;
    i += 2;
  }
  return !name.empty();
}

// Standard methods are in upper case and short. The ban on '#', which a token may hold, is
// gunicorn's.
bool is_conventional_method(std::string_view method) {
  return method.size() >= kShortestMethod && method.size() <= kLongestMethod &&
         std::none_of(method.begin(), method.end(),
                      [](char c) { return (c >= 'a' && c <= 'z') || c == '#'; });
}

// Cuts `from_path` ("/path?query#fragment", each part optional) into path and query. Clients must
// not send a fragment (RFC 9112 section 3.2); where one does, it is cut off, as gunicorn and nginx
// do.
void split_path(std::string_view from_path, RequestHead& out) {
  from_path = from_path.substr(0, from_path.find('#'));
  const std::size_t question_mark = from_path.find('?');
  out.path = from_path.substr(0, question_mark);
  if (question_mark != std::string_view::npos) out.query = from_path.substr(question_mark + 1);
  if (out.path.empty()) out.path = "/";
}

// User information in the authority is refused (RFC 9110 section 4.2.4): '@' is no host character.
// The authority isn't shown, since it may hold a password.
std::optional<ProtocolError> parse_absolute_form(RequestHead& out) {
  const std::string_view target = out.target;
  const std::size_t scheme_end = target.find("://");
  if (scheme_end == std::string_view::npos) {
    return protocol_error(400, "the request target has no form that the method allows", target);
  }
  const std::string_view scheme = target.substr(0, scheme_end);
  if (!equals_lower(scheme, "http") && !equals_lower(scheme, "https")) {
    return protocol_error(400, "the request target's scheme is neither http nor https", target);
  }
  const std::string_view rest = target.substr(scheme_end + 3);
  const std::size_t authority_end = std::min(rest.find_first_of("/?#"), rest.size());
  out.target_form = TargetForm::kAbsolute;
  out.host = rest.substr(0, authority_end);
  if (!is_valid_authority(out.host)) {
    return protocol_error(400, "the request target's authority is malformed");
  }
  split_path(rest.substr(authority_end), out);
  return std::nullopt;
}

std::optional<ProtocolError> parse_authority_form(RequestHead& out) {
  out.target_form = TargetForm::kAuthority;
  out.host = out.target;
  // The port is not optional here (RFC 9112 section 3.2.3).
  if (!is_valid_authority(out.host) || !is(out.host.back(), kDigit) ||
      out.host.rfind(':') == std::string_view::npos) {
    return protocol_error(400, "the target of CONNECT is not HOST:PORT", out.target);
  }
  return std::nullopt;
}

std::optional<ProtocolError> parse_target(RequestHead& out) {
  if (!all(out.target, kTargetChar)) {
    return protocol_error(400, "white space in the request target", out.target);
  }
  if (out.method == "CONNECT") return parse_authority_form(out);
  if (out.target.front() == '/') {
    split_path(out.target, out);
    return std::nullopt;
  }
  if (out.target == "*" && out.method == "OPTIONS") {
    out.target_form = TargetForm::kAsterisk;
    out.path = out.target;
    return std::nullopt;
  }
  return parse_absolute_form(out);
}

std::optional<ProtocolError> parse_version(std::string_view version, const ParserOptions& options,
                                           RequestHead& out) {
  if (version.size() != 8 || !version.starts_with("HTTP/") || !is(version[5], kDigit) ||
      version[6] != '.' || !is(version[7], kDigit)) {
    return protocol_error(400, "the request line does not end in an HTTP version", version);
  }
  out.major_version = version[5] - '0';
  out.minor_version = version[7] - '0';
  if (out.major_version != 1 && !options.permit_unconventional_version) {
    return protocol_error(505, "the HTTP version is not 1.0 or 1.1", version);
  }
  return std::nullopt;
}

void casefold_method(RequestHead& out) {
  const std::size_t start = out.scratch.size();
  for (const char c : out.method) out.scratch.push_back(to_upper(c));
  out.method = {out.scratch.data() + start, out.method.size()};
}

}  // namespace

bool is_valid_authority(std::string_view authority) {
  if (authority.starts_with('[')) {
    const std::size_t bracket = authority.find(']');
    if (bracket == std::string_view::npos || !is_ipv6_address(authority.substr(1, bracket - 1))) {
      return false;
    }
    const std::string_view port = authority.substr(bracket + 1);
    return port.empty() || (port.front() == ':' && is_valid_port(port.substr(1)));
  }
  const std::size_t colon = authority.find(':');
  return is_registered_name(authority.substr(0, colon)) &&
         (colon == std::string_view::npos || is_valid_port(authority.substr(colon + 1)));
}

std::optional<ProtocolError> parse_request_line(std::string_view line, const ParserOptions& options,
                                                RequestHead& out) {
  const std::size_t method_end = line.find(' ');
  const std::size_t target_end =
      method_end == std::string_view::npos ? method_end : line.find(' ', method_end + 1);
  if (target_end == std::string_view::npos || target_end == method_end + 1) {
    return protocol_error(400, "the request line is not METHOD TARGET VERSION", line);
  }
  out.method = line.substr(0, method_end);
  out.target = line.substr(method_end + 1, target_end - method_end - 1);

  if (!is_token(out.method)) {
    return protocol_error(400, "the method is not a token", out.method);
  }
  if (!options.permit_unconventional_method && !is_conventional_method(out.method)) {
    return protocol_error(400, "the method is unconventional", out.method);
  }
  if (auto error = parse_version(line.substr(target_end + 1), options, out)) return error;
  if (options.casefold_method) casefold_method(out);
  return parse_target(out);
}

}  // namespace corn::http
