// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/os/path_pattern.h"

#include <fnmatch.h>

#include <span>

namespace corn::os {
namespace {

std::vector<std::string> names_of(std::string_view path) {
  std::vector<std::string> names;
  while (!path.empty()) {
    const std::size_t slash = path.find('/');
    if (slash != 0) names.emplace_back(path.substr(0, slash));
    if (slash == std::string_view::npos) break;
    path.remove_prefix(slash + 1);
  }
  return names;
}

using Names = std::span<const std::string>;

bool fits(const std::string& pattern, const std::string& name) {
  return ::fnmatch(pattern.c_str(), name.c_str(), FNM_PERIOD | FNM_NOESCAPE) == 0;
}

// `below`: it is enough that the path could go on to match.
bool matches(Names pattern, Names path, bool below) {
  if (pattern.empty()) return path.empty() && !below;
  if (path.empty()) return below || (pattern.size() == 1 && pattern.front() == "**");
  if (pattern.front() == "**") {
    return matches(pattern.subspan(1), path, below) ||
           (!path.front().starts_with('.') && matches(pattern, path.subspan(1), below));
  }
  return fits(pattern.front(), path.front()) && matches(pattern.subspan(1), path.subspan(1), below);
}

}  // namespace

PathPattern::PathPattern(std::string_view text) : names_(names_of(text)) {
  for (std::size_t i = 0; i + 1 < names_.size() && !is_pattern(names_[i]); ++i) {
    base_ += '/';
    base_ += names_[i];
  }
  if (base_.empty()) base_ += '/';
}

bool PathPattern::is_pattern(std::string_view text) {
  return text.find_first_of("*?[") != std::string_view::npos;
}

bool PathPattern::matches(std::string_view path) const {
  return os::matches(names_, names_of(path), false);
}

bool PathPattern::may_match_below(std::string_view directory) const {
  return os::matches(names_, names_of(directory), true);
}

}  // namespace corn::os
