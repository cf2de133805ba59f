// SPDX-License-Identifier: Apache-2.0
// The head of a request, understood: RFC 9110 and 9112, strictly.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "workerd/http/error.h"
#include "workerd/http/field.h"
#include "workerd/http/limits.h"

namespace corn::http {

// How the end of a request's body is found (RFC 9112 section 6.3).
enum class BodyFraming : std::uint8_t { kNone, kLength, kChunked };

// RFC 9112 section 3.2.
enum class TargetForm : std::uint8_t { kOrigin, kAbsolute, kAuthority, kAsterisk };

// Views point into the head's bytes, a few (folded values, case-folded method) into `scratch`: all
// end with the bytes given to parse_head() or with the next parse_head() into the same object. Kept
// for all requests of a connection, so that the capacity of its vectors is reused. Moving keeps
// views valid.
struct RequestHead {
  RequestHead() = default;
  RequestHead(RequestHead&&) = default;
  RequestHead& operator=(RequestHead&&) = default;
  RequestHead(const RequestHead&) = delete;
  RequestHead& operator=(const RequestHead&) = delete;

  std::string_view method;
  std::string_view target;  // as sent, whole
  // Path before percent-decoding: of origin- and absolute-form never empty ("/" stands in), "*" in
  // asterisk-form, empty in authority-form.
  std::string_view path;
  std::string_view query;  // without the '?'; a fragment belongs to neither
  TargetForm target_form = TargetForm::kOrigin;
  int major_version = 1;
  int minor_version = 1;

  // In the order sent, values trimmed; what header_map drops is missing. An absolute-form request
  // without Host gets one, as the last.
  std::vector<Field> fields;

  // The authority asked for: that of an absolute-form target, which also replaces the value of the
  // Host field among `fields` (RFC 9112 section 3.2.2), else the Host field's, else empty.
  std::string_view host;
  bool has_host = false;  // a Host field was sent

  BodyFraming framing = BodyFraming::kNone;
  std::uint64_t content_length = 0;  // kLength: bytes of the body; may be 0
  bool keep_alive = false;           // the client can and wants to send another request
  bool expect_continue = false;      // the client waits for 100 (Continue) before it sends its body
  bool upgrade = false;              // Connection names "upgrade" and an Upgrade field is there

  std::vector<char> scratch;

  // HTTP/1.1 or higher: chunked framing and interim responses are understood.
  [[nodiscard]] bool at_least_1_1() const {
    return major_version > 1 || (major_version == 1 && minor_version >= 1);
  }
  [[nodiscard]] bool has_body() const {
    return framing == BodyFraming::kChunked ||
           (framing == BodyFraming::kLength && content_length > 0);
  }
  // The first field of this name (compared without regard to case), or null.
  [[nodiscard]] const Field* find(std::string_view name) const;
};

// Whether the peer's address is in forwarded_allow_ips.
enum class PeerTrust : std::uint8_t { kUntrusted, kTrusted };

// Understands one head that HeadScanner has completed (from the request line to the empty line,
// CRLFs included); sizes and counts are the scanner's concern, and any other bytes are refused,
// never misread. nullopt: `out` is filled. An error leaves `out` in an unspecified state, but
// method and target, where they were found, stand in it for the access log, otherwise they are
// empty. Statuses: 400, 417 (unknown expectation), 501 (transfer coding), 505 (version).
std::optional<ProtocolError> parse_head(std::string_view head, const ParserOptions& options,
                                        RequestHead& out, PeerTrust trust = PeerTrust::kUntrusted);

}  // namespace corn::http
