// SPDX-License-Identifier: Apache-2.0
// Formats with names, `%(name)s`, as Python's % operator takes them together with a dict.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace corn::base {

struct FormatPiece {
  static constexpr std::size_t kUnlimited = ~std::size_t{0};

  bool named = false;
  std::string text;                    // the literal, or the name
  std::size_t width = 0;               // least characters, filled up with blanks
  bool left = false;                   // fill up at the right
  std::size_t precision = kUnlimited;  // most characters
};

// Takes a format to pieces: literals, in which "%%" has become "%", and %(name)s with the flags
// -, 0, +, # and blank (of which only - means anything for text), width and precision, and the
// conversions s, d, i and u. Fails with what is wrong and what would be right.
Result<std::vector<FormatPiece>> parse_named_format(std::string_view format);

}  // namespace corn::base
