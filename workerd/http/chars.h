// SPDX-License-Identifier: Apache-2.0
// The character classes of RFC 9110 and RFC 3986, as one table, and the search for the end of a
// line.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace corn::http {

enum CharClass : std::uint8_t {
  kTokenChar = 1,    // tchar, RFC 9110 section 5.6.2
  kUnderscore = 2,   // '_', a tchar that header_map cares about
  kHexDigit = 4,     // HEXDIG, either case
  kHostChar = 8,     // unreserved, sub-delims: what a reg-name has beside percent-encodings
  kTargetChar = 16,  // VCHAR and obs-text: what a request-target may be made of
  kDigit = 32,
  kControlChar = 64,  // CTL except HTAB: never part of a field value or request line
};

namespace detail {

constexpr bool contains(std::string_view set, unsigned char c) {
  return set.find(static_cast<char>(c)) != std::string_view::npos;
}

constexpr std::array<std::uint8_t, 256> make_char_classes() {
  std::array<std::uint8_t, 256> classes{};
  for (unsigned i = 0; i < 256; ++i) {
    const auto c = static_cast<unsigned char>(i);
    const bool digit = c >= '0' && c <= '9';
    const bool alpha = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    unsigned bits = 0;
    if (digit || alpha || (c != 0 && contains("!#$%&'*+-.^_`|~", c))) bits |= kTokenChar;
    if (c == '_') bits |= kUnderscore;
    if (digit || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')) bits |= kHexDigit;
    if (digit || alpha || (c != 0 && contains("-._~!$&'()*+,;=", c))) bits |= kHostChar;
    if (c > 0x20 && c != 0x7f) bits |= kTargetChar;
    if (digit) bits |= kDigit;
    if ((c < 0x20 && c != '\t') || c == 0x7f) bits |= kControlChar;
    classes[i] = static_cast<std::uint8_t>(bits);
  }
  return classes;
}

}  // namespace detail

inline constexpr std::array<std::uint8_t, 256> kCharClasses = detail::make_char_classes();

constexpr std::uint8_t char_class(char c) { return kCharClasses[static_cast<unsigned char>(c)]; }
constexpr bool is(char c, CharClass wanted) { return (char_class(c) & wanted) != 0; }

constexpr bool all(std::string_view text, CharClass wanted) {
  for (const char c : text) {
    if (!is(c, wanted)) return false;
  }
  return true;
}

constexpr bool is_token(std::string_view text) { return !text.empty() && all(text, kTokenChar); }

constexpr bool is_blank(char c) { return c == ' ' || c == '\t'; }

// Without spaces and tabs at both ends: the OWS around values and list members.
constexpr std::string_view trim(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

// What of a header line may go into a log: the part before the colon. Values can be secrets.
constexpr std::string_view name_part(std::string_view line) {
  return line.substr(0, line.find(':'));
}

constexpr char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }
constexpr char to_upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c & ~0x20) : c; }

// Whether `text` is `lower`, a literal without upper-case letters, in any case.
constexpr bool equals_lower(std::string_view text, std::string_view lower) {
  if (text.size() != lower.size()) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (to_lower(text[i]) != lower[i]) return false;
  }
  return true;
}

// Calls `visit` with every member of a comma-separated list, trimmed, empty ones too, until it
// returns false. True when it never did.
template <typename Visitor>
constexpr bool for_each_member(std::string_view list, Visitor visit) {
  for (;;) {
    const std::size_t comma = list.find(',');
    if (!visit(trim(list.substr(0, comma)))) return false;
    if (comma == std::string_view::npos) return true;
    list.remove_prefix(comma + 1);
  }
}

// Index of the first control character (kControlChar) in `text` from `from`, or text.size().
inline std::size_t find_control(std::string_view text, std::size_t from) {
#if defined(__SSE2__)
  const __m128i unit_separator = _mm_set1_epi8(0x1f);
  const __m128i tab = _mm_set1_epi8('\t');
  const __m128i del = _mm_set1_epi8(0x7f);
  while (text.size() - from >= 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text.data() + from));
    const __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, unit_separator), bytes);
    const __m128i bad =
        _mm_or_si128(_mm_andnot_si128(_mm_cmpeq_epi8(bytes, tab), low), _mm_cmpeq_epi8(bytes, del));
    const auto mask = static_cast<unsigned>(_mm_movemask_epi8(bad));
    if (mask != 0) return from + static_cast<std::size_t>(std::countr_zero(mask));
    from += 16;
  }
#endif
  while (from < text.size() && !is(text[from], kControlChar)) ++from;
  return from;
}

}  // namespace corn::http
