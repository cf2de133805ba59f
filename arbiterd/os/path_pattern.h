// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace corn::os {

// A pattern for paths, with the meaning of Python's glob.glob(recursive=True): `*`, `?` and `[...]`
// within a name, `**` for any number of directories; none of them matches a name that begins with
// a dot.
class PathPattern {
 public:
  // Absolute.
  explicit PathPattern(std::string_view text);

  static bool is_pattern(std::string_view text);

  // The longest directory in front that names no pattern.
  [[nodiscard]] const std::string& base() const { return base_; }

  // `path`: absolute, without "." and "..".
  [[nodiscard]] bool matches(std::string_view path) const;

  // Whether a path in this directory, or further below, could match.
  [[nodiscard]] bool may_match_below(std::string_view directory) const;

 private:
  std::vector<std::string> names_;
  std::string base_;
};

}  // namespace corn::os
