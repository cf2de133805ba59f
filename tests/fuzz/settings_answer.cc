// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/settings_answer.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "arbiterd/config/sources.h"
#include "base/check.h"

namespace corn::config {

Directory::Directory() {
  std::string pattern = (std::filesystem::temp_directory_path() / "corn-fuzz-XXXXXX").string();
  CORN_CHECK(::mkdtemp(pattern.data()) != nullptr);
  path_ = pattern;
}

Directory::~Directory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void check_answer(const Source& source, const std::string& directory) {
  const auto invocation = read_invocation(source.arguments, source.environment, directory);
  if (!invocation) {
    CORN_CHECK(!invocation.error().message.empty());
    return;
  }
  if (invocation->mode == Mode::kHelp || invocation->mode == Mode::kVersion) return;
  // Files that the input names, such as /dev/zero, are not its subject.
  if (!invocation->config_file.empty() && !invocation->config_file.starts_with(directory)) return;
  const auto settings = resolve(*invocation, source.python);
  if (!settings) {
    CORN_CHECK(!settings.error().message.empty());
    return;
  }
  CORN_CHECK(!settings->pools.empty());
  CORN_CHECK(!print_config(*settings).empty());
  CORN_CHECK(unchangeable_differences(*settings, *settings).empty());
  Settings kept = *settings;
  keep_unchangeable(*settings, kept);
  CORN_CHECK(print_config(kept) == print_config(*settings));
}

std::pair<std::string, std::string> name_and_value(std::string_view line) {
  const std::size_t end = std::min(line.find('='), line.size());
  return {std::string(line.substr(0, end)),
          std::string(line.substr(std::min(end + 1, line.size())))};
}

}  // namespace corn::config
