// SPDX-License-Identifier: Apache-2.0
// How large and how unusual a request may be. Constant while a worker lives; shared by every
// connection and safe to read from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/worker_config.h"

namespace corn::http {

// What stands in for "unlimited" (a setting of 0), and the ceiling for larger settings.
inline constexpr std::size_t kMaxRequestLineBytes = 1U << 20U;
inline constexpr std::size_t kMaxFields = 32768;
inline constexpr std::size_t kMaxFieldBytes = 1U << 20U;

// The whole request head, whatever the single limits add up to: bounds a connection's memory.
inline constexpr std::size_t kMaxHeadBytes = 1U << 20U;

// Empty lines ignored before a request line (RFC 9112 section 2.2 asks for at least one).
inline constexpr std::size_t kMaxLeadingEmptyLines = 4;

// A chunk-size line without its CRLF, extensions included; and the bytes of extensions that all
// chunks of one body may have beyond one per byte of data.
inline constexpr std::size_t kMaxChunkLineBytes = 4096;
inline constexpr std::uint64_t kChunkExtensionAllowance = 16384;

struct ParserOptions {
  // Bytes of the request line, without its CRLF. Beyond: 414.
  std::size_t max_request_line = 4094;
  // Fields of one head, and of one trailer section; dropped ones count. Beyond: 431.
  std::size_t max_fields = 100;
  // Bytes of one field, its CRLFs included. Beyond: 431.
  std::size_t max_field_bytes = 8190;
  // Bytes of one head. Beyond: 431.
  std::size_t max_head_bytes = 823098;

  // Accept field values that go on in the next line; the lines are joined by one space.
  bool permit_obsolete_folding = false;
  // Accept spaces and tabs between field name and colon.
  bool strip_header_spaces = false;
  // Accept any token as a method; otherwise 3 to 20 bytes, no lower-case letter, no '#'.
  bool permit_unconventional_method = false;
  // Accept any HTTP/DIGIT.DIGIT; otherwise HTTP/1.x.
  bool permit_unconventional_version = false;
  // Turn methods into upper case. Lower case is refused before unless permit_unconventional_method.
  bool casefold_method = false;
  // What becomes of a field whose name has an underscore, and could pass for another one in
  // CGI-like variables: left out, answered 400, or let through.
  base::HeaderMap header_map = base::HeaderMap::kDrop;
  // Names in upper case that a trusted peer may send in spite of header_map; "*" is any.
  std::vector<std::string> forwarder_headers;

  static ParserOptions from(const base::WorkerConfig& config);
};

}  // namespace corn::http
