// SPDX-License-Identifier: Apache-2.0
#include "workerd/http/head_scanner.h"

#include <algorithm>

#include "workerd/http/chars.h"

namespace corn::http {
namespace {

constexpr std::size_t kLineEndBytes = 2;  // CRLF
constexpr std::string_view kHeadTooLarge = "the request head is too large";

ScanResult refuse(int status, std::string_view reason, std::string_view bytes = {}) {
  return {.kind = ScanResult::Kind::kError, .error = protocol_error(status, reason, bytes)};
}

}  // namespace

void HeadScanner::reset() { *this = HeadScanner(*options_); }

HeadScanner::Bound HeadScanner::bound(bool folded) const {
  const Bound whole{skip_ + options_->max_head_bytes, 431, kHeadTooLarge};
  Bound part{line_start_ + options_->max_request_line, 414, "the request line is too long"};
  if (!in_request_line_) {
    part = {(folded ? field_start_ : line_start_) + options_->max_field_bytes - kLineEndBytes, 431,
            "a header field is too large"};
  }
  return part.position <= whole.position ? part : whole;
}

// All checks of a line come in one order, and each depends on what no cut into reads can change:
// the line's first byte, the position where a bound is passed, the first control character.
ScanResult HeadScanner::feed(std::string_view buffer) {
  for (;;) {
    const std::size_t control = find_control(buffer, next_);
    const std::string_view line = buffer.substr(line_start_, control - line_start_);

    const bool folded = !in_request_line_ && !line.empty() && is_blank(line.front());
    const std::string_view shown =
        in_request_line_ ? line : name_part(folded ? std::string_view() : line);
    if (folded && fields_ == 0) {
      return refuse(400, "white space before the first header field");
    }
    if (folded && !options_->permit_obsolete_folding) {
      return refuse(400, "obsolete line folding in a header field");
    }
    if (const Bound limit = bound(folded); control > limit.position) {
      const std::size_t within = std::max(limit.position, line_start_) - line_start_;
      return refuse(limit.status, limit.reason, shown.substr(0, within));
    }

    next_ = control;
    if (control == buffer.size()) return {};
    if (buffer[control] != '\r') {
      return refuse(400,
                    buffer[control] == '\n' ? "a line feed without a carriage return before it"
                                            : "a control character in the request head",
                    shown);
    }
    if (control + 1 == buffer.size()) return {};
    if (buffer[control + 1] != '\n') {
      return refuse(400, "a carriage return without a line feed after it", shown);
    }

    const std::size_t line_end = control + kLineEndBytes;
    if (in_request_line_ && line.empty()) {
      if (++empty_lines_ > kMaxLeadingEmptyLines) {
        return refuse(400, "too many empty lines before the request line");
      }
      skip_ = line_end;
    } else if (line_end - skip_ > options_->max_head_bytes) {
      return refuse(431, kHeadTooLarge, shown);
    } else if (line.empty()) {
      return {
          .kind = ScanResult::Kind::kComplete, .skip_bytes = skip_, .head_bytes = line_end - skip_};
    } else if (in_request_line_) {
      in_request_line_ = false;
    } else if (!folded) {
      field_start_ = line_start_;
      if (++fields_ > options_->max_fields) return refuse(431, "too many header fields", shown);
    }
    line_start_ = next_ = line_end;
  }
}

}  // namespace corn::http
