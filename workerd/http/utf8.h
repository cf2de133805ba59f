// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

namespace corn::http {

// Whether bytes that come in pieces are UTF-8 (RFC 3629): without overlong forms, surrogates and
// code points beyond U+10FFFF. Notices what is wrong with the byte that makes it so.
class Utf8Validator {
 public:
  // False: the bytes so far can't be the beginning of any UTF-8 text.
  bool feed(std::string_view bytes);
  // The bytes so far end between two characters.
  [[nodiscard]] bool complete() const { return missing_ == 0; }
  void reset() { *this = Utf8Validator(); }

 private:
  std::uint8_t missing_ = 0;  // continuation bytes that the character still wants
  // What the next one may be.
  std::uint8_t lowest_ = 0x80;
  std::uint8_t highest_ = 0xbf;
};

}  // namespace corn::http
