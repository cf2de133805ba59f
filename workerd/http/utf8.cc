// SPDX-License-Identifier: Apache-2.0
#include "workerd/http/utf8.h"

#include <cstring>

namespace corn::http {

bool Utf8Validator::feed(std::string_view bytes) {
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const auto byte = static_cast<std::uint8_t>(bytes[i]);
    if (missing_ > 0) {
      if (byte < lowest_ || byte > highest_) return false;
      lowest_ = 0x80;
      highest_ = 0xbf;
      --missing_;
      continue;
    }
    if (byte < 0x80) {
      // ASCII, eight bytes at a time.
      for (std::uint64_t word = 0; i + sizeof(word) < bytes.size(); i += sizeof(word)) {
        std::memcpy(&word, bytes.data() + i + 1, sizeof(word));
        if ((word & 0x8080808080808080U) != 0) break;
      }
      continue;
    }
    // RFC 3629 section 4: the second byte's range depends on the first.
    if (byte >= 0xc2 && byte <= 0xdf) {
      missing_ = 1;
    } else if (byte >= 0xe0 && byte <= 0xef) {
      missing_ = 2;
      if (byte == 0xe0) lowest_ = 0xa0;
      if (byte == 0xed) highest_ = 0x9f;
    } else if (byte >= 0xf0 && byte <= 0xf4) {
      missing_ = 3;
      if (byte == 0xf0) lowest_ = 0x90;
      if (byte == 0xf4) highest_ = 0x8f;
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace corn::http
