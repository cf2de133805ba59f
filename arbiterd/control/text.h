// SPDX-License-Identifier: Apache-2.0
// Text from outside (request targets, tracebacks) made fit for protobuf and HTTP/2 headers.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace corn::control {

// The longest text that goes into one field, and of a request's target; bytes.
inline constexpr std::size_t kLongestText = 64 * 1024;
inline constexpr std::size_t kLongestTarget = 256;

// `text` as valid UTF-8 (protobuf refuses to parse strings that aren't): each byte that belongs to
// no well-formed sequence (Unicode 15, table 3-7) becomes U+FFFD. Cut in the middle to about
// `limit` bytes, saying how many are missing: the first lines of a traceback tell where, its last
// ones what.
std::string clean_text(std::string_view text, std::size_t limit = kLongestText);

// A status message travels percent-encoded in the header `grpc-message`, and clients refuse more
// than 8 KiB of headers by default: `text` cut in the middle so that it takes at most 4 KiB
// encoded.
std::string status_text(std::string_view text);

}  // namespace corn::control
