// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/control/text.h"

#include <cstdint>

namespace corn::control {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";
constexpr std::size_t kLongestEncodedStatus = 4096;

bool is_continuation(char byte) { return (static_cast<std::uint8_t>(byte) & 0xc0) == 0x80; }

// Length of the well-formed sequence at the start of `text`, which isn't empty; 0 if there is none.
std::size_t sequence_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t first = byte(0);
  if (first < 0x80) return 1;
  std::size_t length = 0;
  std::uint8_t low = 0x80;
  std::uint8_t high = 0xbf;
  if (first >= 0xc2 && first <= 0xdf) {
    length = 2;
  } else if (first >= 0xe0 && first <= 0xef) {
    length = 3;
    if (first == 0xe0) low = 0xa0;   // no overlong forms
    if (first == 0xed) high = 0x9f;  // no surrogates
  } else if (first >= 0xf0 && first <= 0xf4) {
    length = 4;
    if (first == 0xf0) low = 0x90;
    if (first == 0xf4) high = 0x8f;  // nothing above U+10FFFF
  } else {
    return 0;
  }
  if (text.size() < length || byte(1) < low || byte(1) > high) return 0;
  for (std::size_t i = 2; i < length; ++i) {
    if (!is_continuation(text[i])) return 0;
  }
  return length;
}

// Bytes that percent-encoding makes of one (gRPC over HTTP/2, "Percent-Encoded").
std::size_t encoded_size(char byte) { return byte >= 0x20 && byte <= 0x7e && byte != '%' ? 1 : 3; }

// `head` and `tail` are how many bytes to keep at either end; moved inwards to sequence boundaries.
std::string without_middle(std::string_view text, std::size_t head, std::size_t tail) {
  while (head > 0 && is_continuation(text[head])) --head;
  std::size_t tail_start = text.size() - tail;
  while (tail_start < text.size() && is_continuation(text[tail_start])) ++tail_start;
  std::string result(text.substr(0, head));
  result += " [... " + std::to_string(tail_start - head) + " bytes left out ...] ";
  result += text.substr(tail_start);
  return result;
}

}  // namespace

std::string clean_text(std::string_view text, std::size_t limit) {
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = sequence_length(text);
    result += length == 0 ? kReplacement : text.substr(0, length);
    text.remove_prefix(length == 0 ? 1 : length);
  }
  if (result.size() <= limit) return result;
  return without_middle(result, limit / 2, limit / 2);
}

std::string status_text(std::string_view text) {
  std::string clean = clean_text(text);
  std::size_t total = 0;
  for (const char byte : clean) total += encoded_size(byte);
  if (total <= kLongestEncodedStatus) return clean;

  constexpr std::size_t kShare = kLongestEncodedStatus / 2 - 64;  // room for the note between
  std::size_t head = 0;
  for (std::size_t used = 0; used + encoded_size(clean[head]) <= kShare; ++head) {
    used += encoded_size(clean[head]);
  }
  std::size_t tail = 0;
  for (std::size_t used = 0; used + encoded_size(clean[clean.size() - 1 - tail]) <= kShare;
       ++tail) {
    used += encoded_size(clean[clean.size() - 1 - tail]);
  }
  return without_middle(clean, head, tail);
}

}  // namespace corn::control
