// SPDX-License-Identifier: Apache-2.0
// The parts of parse_head() that concern the first line, and the authority it may carry.
#pragma once

#include <optional>
#include <string_view>

#include "workerd/http/error.h"
#include "workerd/http/limits.h"
#include "workerd/http/request_head.h"

namespace corn::http {

// uri-host [ ":" port ] (RFC 9110 section 7.2): a name, an IPv4 address or an IPv6 one in brackets.
// Not empty.
bool is_valid_authority(std::string_view authority);

// Understands the request line, given without its CRLF and free of control characters but tabs.
// Sets method, target and all that follows from it; `host` for absolute- and authority-form only.
std::optional<ProtocolError> parse_request_line(std::string_view line, const ParserOptions& options,
                                                RequestHead& out);

}  // namespace corn::http
