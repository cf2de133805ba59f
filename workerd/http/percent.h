// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace corn::http {

// Replaces `out` by `raw` with every %HH turned into its byte (RFC 3986 section 2.1). A '%' that no
// two hexadecimal digits follow stays as it is, as Python's urllib.parse.unquote_to_bytes has it.
void percent_decode(std::string_view raw, std::string& out);

}  // namespace corn::http
