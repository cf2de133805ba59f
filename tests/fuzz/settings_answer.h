// SPDX-License-Identifier: Apache-2.0
// What the targets of settings have in common.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/message.h"

namespace corn::config {

// The first byte of an input, modulo 2, names the source; the text follows.
enum class FileSource : std::uint8_t {
  kToml,    // the text of corn.toml
  kPython,  // one NAME=JSON a line, as a Python file's values come
};
enum class OptionSource : std::uint8_t {
  kCommandLine,  // one argument a line
  kVariables,    // one NAME=VALUE a line
};

// A working directory that lasts as long as the process.
class Directory {
 public:
  Directory();
  ~Directory();
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string file(const char* name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

struct Source {
  std::vector<std::string> arguments;
  std::map<std::string, std::string> environment;
  std::optional<base::ConfigValues> python;
};

// Resolves the settings: they can be shown and kept over a reload, or the error says something.
void check_answer(const Source& source, const std::string& directory);

// What stands before and behind the first '=' of a line.
std::pair<std::string, std::string> name_and_value(std::string_view line);

}  // namespace corn::config
