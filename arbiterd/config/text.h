// SPDX-License-Identifier: Apache-2.0
// Small operations on text, ASCII only.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace corn::config {

// Without white space at both ends.
std::string_view trimmed(std::string_view text);
std::string lowercase(std::string_view text);
std::string uppercase(std::string_view text);
// The parts between separators; an empty text has one empty part.
std::vector<std::string_view> split(std::string_view text, char separator);

// Words of a command line in quotes and backslashes as sh(1) takes them, without expansions; what
// Python's shlex.split() does. Fails on a quotation without end.
base::Result<std::vector<std::string>> shell_words(std::string_view text);

// The one of `candidates` that `word` most probably stands for; empty when none is near.
// Differences between '-' and '_' and of letter case don't count.
std::string_view nearest(std::string_view word, const std::vector<std::string_view>& candidates);

// `text` in lines of at most `width` characters, broken at spaces.
std::vector<std::string> wrapped(std::string_view text, std::size_t width);

}  // namespace corn::config
