// SPDX-License-Identifier: Apache-2.0
#include "base/named_format.h"

#include <utility>

namespace corn::base {
namespace {

// Wider than any line that is meant.
constexpr std::size_t kMostWidth = 1000;

// Takes a decimal number off the front of `text`; false when it is beyond reason.
bool take_number(std::string_view& text, std::size_t& number) {
  number = 0;
  while (!text.empty() && text.front() >= '0' && text.front() <= '9') {
    number = number * 10 + static_cast<std::size_t>(text.front() - '0');
    if (number > kMostWidth) return false;
    text.remove_prefix(1);
  }
  return true;
}

// Takes "%(name)s" off the front of `text`.
bool take_named(std::string_view& text, FormatPiece& piece) {
  const std::size_t close = text.find(')');
  if (!text.starts_with("%(") || close == std::string_view::npos) return false;
  piece.named = true;
  piece.text = text.substr(2, close - 2);
  text.remove_prefix(close + 1);
  while (!text.empty() && std::string_view("-+ #0").find(text.front()) != std::string_view::npos) {
    piece.left |= text.front() == '-';
    text.remove_prefix(1);
  }
  if (!take_number(text, piece.width)) return false;
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    if (!take_number(text, piece.precision)) return false;
  }
  if (text.empty() || std::string_view("sdiu").find(text.front()) == std::string_view::npos) {
    return false;
  }
  text.remove_prefix(1);
  return true;
}

}  // namespace

Result<std::vector<FormatPiece>> parse_named_format(std::string_view format) {
  std::vector<FormatPiece> pieces;
  std::string literal;
  const auto end_literal = [&] {
    if (!literal.empty()) pieces.push_back({.text = std::exchange(literal, {})});
  };
  while (!format.empty()) {
    const std::size_t percent = format.find('%');
    literal += format.substr(0, percent);
    if (percent == std::string_view::npos) break;
    format.remove_prefix(percent);
    if (format.starts_with("%%")) {
      literal += '%';
      format.remove_prefix(2);
      continue;
    }
    const std::string_view here = format.substr(0, 16);
    FormatPiece piece;
    if (!take_named(format, piece)) {
      return fail("'" + std::string(here) +
                  "' is not of the form %(name)s; a percent sign is written %%");
    }
    end_literal();
    pieces.push_back(std::move(piece));
  }
  end_literal();
  return pieces;
}

}  // namespace corn::base
