// SPDX-License-Identifier: Apache-2.0
// Finds the end of a request head in a buffer that grows, looking at every byte once. It knows
// lines and sizes, not their meaning, and refuses as early as the bytes allow: control characters
// (a bare CR or LF among them), a line or head too long, too many fields. What it completes goes to
// parse_head().
//
// The verdict depends on the bytes alone, never on how they were cut into reads.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "workerd/http/error.h"
#include "workerd/http/limits.h"

namespace corn::http {

struct ScanResult {
  enum class Kind { kNeedMore, kComplete, kError };

  Kind kind = Kind::kNeedMore;
  // kComplete: the head is buffer.substr(skip_bytes, head_bytes), its empty line included; before
  // it stand empty lines to be ignored.
  std::size_t skip_bytes = 0;
  std::size_t head_bytes = 0;
  std::optional<ProtocolError> error = std::nullopt;  // set with kError
};

class HeadScanner {
 public:
  // `options` must outlive the scanner.
  explicit HeadScanner(const ParserOptions& options) : options_(&options) {}

  // `buffer` starts where the previous request ended and only grows from call to call (it may move
  // in memory). After kComplete or kError call reset() before the next request.
  ScanResult feed(std::string_view buffer);
  void reset();

  // True once a byte of the request line was seen: what tells an idle connection from one in
  // the middle of a head.
  [[nodiscard]] bool started() const { return next_ > skip_; }

 private:
  // The first byte that would be too many, and what it would be too many for.
  struct Bound {
    std::size_t position;
    int status;
    std::string_view reason;
  };
  [[nodiscard]] Bound bound(bool folded) const;

  const ParserOptions* options_;
  std::size_t next_ = 0;         // first byte not looked at yet
  std::size_t line_start_ = 0;   // of the line that next_ is in
  std::size_t field_start_ = 0;  // of the last field whose first line is whole
  std::size_t skip_ = 0;         // bytes of leading empty lines
  std::size_t empty_lines_ = 0;  // that skip_ spans
  std::size_t fields_ = 0;       // fields whose first line is whole
  bool in_request_line_ = true;
};

}  // namespace corn::http
