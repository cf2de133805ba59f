// SPDX-License-Identifier: Apache-2.0
#include "workerd/http/proxy_protocol.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <system_error>

#include "workerd/http/chars.h"

namespace corn::http {
namespace {

using Kind = ProxyResult::Kind;

constexpr std::string_view kV1Prefix = "PROXY ";
constexpr std::string_view kV2Signature("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr std::size_t kV2FixedBytes = 16;

ProxyResult refuse(std::string_view reason, std::string_view bytes = {}) {
  return {.kind = Kind::kError, .error = protocol_error(400, reason, bytes)};
}

ProxyResult complete(std::size_t consumed_bytes, ProxyHeader header) {
  return {.kind = Kind::kComplete, .consumed_bytes = consumed_bytes, .header = std::move(header)};
}

// ---- version 1: a line of text ----

// The address in its canonical form; empty when `text` isn't one of the family.
std::string canonical_address(int family, std::string_view text) {
  std::array<unsigned char, sizeof(in6_addr)> binary{};
  std::array<char, INET6_ADDRSTRLEN> canonical{};
  if (inet_pton(family, std::string(text).c_str(), binary.data()) != 1) return {};
  inet_ntop(family, binary.data(), canonical.data(), canonical.size());
  return canonical.data();
}

// Decimal without leading zeros (section 2.1).
bool parse_port(std::string_view text, std::uint16_t& port) {
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, port);
  return error == std::errc() && stop == end && (text == "0" || text.front() != '0');
}

// Takes the text before the next space off `rest`, and the space.
std::string_view next_word(std::string_view& rest) {
  const std::size_t space = std::min(rest.find(' '), rest.size());
  const std::string_view word = rest.substr(0, space);
  rest.remove_prefix(std::min(space + 1, rest.size()));
  return word;
}

ProxyResult parse_v1(std::string_view buffer) {
  constexpr std::string_view kMalformed = "the PROXY line is malformed";
  const std::string_view window = buffer.substr(0, kMaxProxyV1Bytes);
  const std::size_t control = find_control(window, 0);
  const std::string_view line = window.substr(0, control);
  if (window.substr(control, 2) != "\r\n") {
    const bool may_go_on = window.substr(control).empty() || window.substr(control) == "\r";
    if (may_go_on && window.size() < kMaxProxyV1Bytes) return {};
    return refuse(kMalformed, line);
  }
  const std::size_t consumed = control + 2;

  std::string_view rest = line.substr(kV1Prefix.size());
  ProxyHeader header;
  header.protocol = next_word(rest);
  // What follows UNKNOWN is to be ignored.
  if (header.protocol == "UNKNOWN") return complete(consumed, std::move(header));
  const bool v6 = header.protocol == "TCP6";
  if (!v6 && header.protocol != "TCP4") return refuse(kMalformed, line);

  const int family = v6 ? AF_INET6 : AF_INET;
  header.client_address = canonical_address(family, next_word(rest));
  header.proxy_address = canonical_address(family, next_word(rest));
  const std::string_view client_port = next_word(rest);
  if (header.client_address.empty() || header.proxy_address.empty() ||
      !parse_port(client_port, header.client_port) || !parse_port(rest, header.proxy_port)) {
    return refuse(kMalformed, line);
  }
  return complete(consumed, std::move(header));
}

// ---- version 2: binary ----

constexpr unsigned kCommandLocal = 0;
constexpr unsigned kCommandProxy = 1;
constexpr unsigned kFamilyUnspecified = 0;
constexpr unsigned kFamilyInet = 1;
constexpr unsigned kFamilyInet6 = 2;
constexpr unsigned kFamilyUnix = 3;
constexpr unsigned kTransportStream = 1;
constexpr std::size_t kUnixAddressBytes = 108;

unsigned byte_at(std::string_view bytes, std::size_t index) {
  return static_cast<unsigned char>(bytes[index]);
}

std::uint16_t read_16(std::string_view bytes, std::size_t index) {
  return static_cast<std::uint16_t>(byte_at(bytes, index) << 8U | byte_at(bytes, index + 1));
}

// What follows the addresses is a sequence of type, 16-bit length and value (section 2.2). Nothing
// of it is used, but bytes that don't add up mean that the header isn't what it seems.
bool is_valid_extensions(std::string_view bytes) {
  while (!bytes.empty()) {
    if (bytes.size() < 3) return false;
    const std::size_t size = 3U + read_16(bytes, 1);
    if (bytes.size() < size) return false;
    bytes.remove_prefix(size);
  }
  return true;
}

std::string address_text(int family, std::string_view bytes) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  inet_ntop(family, bytes.data(), text.data(), text.size());
  return text.data();
}

void set_addresses(int family, std::size_t size, std::string_view block, ProxyHeader& header) {
  header.client_address = address_text(family, block.substr(0, size));
  header.proxy_address = address_text(family, block.substr(size, size));
  header.client_port = read_16(block, 2 * size);
  header.proxy_port = read_16(block, 2 * size + 2);
}

ProxyResult parse_v2(std::string_view buffer) {
  if (buffer.size() < kV2FixedBytes) return {};
  const unsigned version = byte_at(buffer, 12) >> 4U;
  const unsigned command = byte_at(buffer, 12) & 15U;
  const unsigned family = byte_at(buffer, 13) >> 4U;
  const unsigned transport = byte_at(buffer, 13) & 15U;
  if (version != 2) return refuse("the PROXY header's version is not 2");
  if (command > kCommandProxy)
    return refuse("the PROXY header's command is neither LOCAL nor PROXY");
  const std::size_t consumed = kV2FixedBytes + read_16(buffer, 14);
  if (buffer.size() < consumed) return {};
  const std::string_view block = buffer.substr(kV2FixedBytes, consumed - kV2FixedBytes);

  ProxyHeader header;
  header.version = 2;
  // LOCAL: the proxy speaks for itself, and whatever it says of addresses is to be ignored.
  if (command == kCommandLocal) {
    header.protocol = "LOCAL";
    return complete(consumed, std::move(header));
  }
  std::size_t address_bytes = 0;
  if (family == kFamilyInet) address_bytes = 2 * sizeof(in_addr) + 4;
  if (family == kFamilyInet6) address_bytes = 2 * sizeof(in6_addr) + 4;
  if (family == kFamilyUnix) address_bytes = 2 * kUnixAddressBytes;
  if (family > kFamilyUnix || (family != kFamilyUnspecified && transport != kTransportStream)) {
    return refuse("the PROXY header's address family or transport is not supported");
  }
  if (block.size() < address_bytes) return refuse("the PROXY header's addresses are cut short");
  if (family != kFamilyUnspecified && !is_valid_extensions(block.substr(address_bytes))) {
    return refuse("the PROXY header's extensions are malformed");
  }
  switch (family) {
    case kFamilyInet:
      header.protocol = "TCP4";
      set_addresses(AF_INET, sizeof(in_addr), block, header);
      break;
    case kFamilyInet6:
      header.protocol = "TCP6";
      set_addresses(AF_INET6, sizeof(in6_addr), block, header);
      break;
    case kFamilyUnix:
      header.protocol = "UNIX";
      break;
    default:
      header.protocol = "UNKNOWN";
      break;
  }
  return complete(consumed, std::move(header));
}

// Whether `buffer` is a part of `start` that may still become the whole.
bool may_become(std::string_view buffer, std::string_view start) {
  return buffer.size() < start.size() && start.starts_with(buffer);
}

}  // namespace

ProxyResult parse_proxy_header(std::string_view buffer, ProxyProtocolMode mode) {
  const bool v1 = mode == ProxyProtocolMode::kV1 || mode == ProxyProtocolMode::kAuto;
  const bool v2 = mode == ProxyProtocolMode::kV2 || mode == ProxyProtocolMode::kAuto;
  if (v1 && buffer.starts_with(kV1Prefix)) return parse_v1(buffer);
  if (v2 && buffer.starts_with(kV2Signature)) return parse_v2(buffer);
  if ((v1 && may_become(buffer, kV1Prefix)) || (v2 && may_become(buffer, kV2Signature))) return {};
  return {.kind = Kind::kAbsent};
}

}  // namespace corn::http
