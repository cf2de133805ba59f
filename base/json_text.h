// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace corn::base {

// The length of the character that `text` begins with, 0 when that is not well-formed UTF-8
// (RFC 3629 section 4: no surrogates, nothing longer than needed).
std::size_t utf8_length(std::string_view text);

// Appends `text` as the inside of a JSON string (RFC 8259 section 7). UTF-8 stays as it is; a byte
// that is no part of any is written as the character of its value, \u00HH, so that the result is
// JSON whatever somebody has sent.
void append_json_text(std::string_view text, std::string& out);

}  // namespace corn::base
