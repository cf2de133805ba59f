// SPDX-License-Identifier: Apache-2.0
// Settings from everywhere: whatever is written, the answer is settings that can be shown and
// resolved again, or an error that says something. Input: a byte that names the source, then the
// text (settings_input.h).
#include "tests/fuzz/settings_input.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "arbiterd/config/file_layers.h"
#include "arbiterd/config/sources.h"
#include "arbiterd/config/text.h"
#include "base/check.h"

namespace corn::config {
namespace {

// A working directory that lasts as long as the process.
class Directory {
 public:
  Directory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "corn-fuzz-XXXXXX").string();
    CORN_CHECK(::mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  ~Directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
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

// A line is NAME=JSON; one without '=' is an object that has no JSON.
base::ConfigValues python_values(std::string_view text) {
  base::ConfigValues values;
  std::uint32_t line = 0;
  for (std::string_view part : split(text, '\n')) {
    const std::size_t end = std::min(part.find('='), part.size());
    const std::string_view json = part.substr(std::min(end + 1, part.size()));
    values.values.push_back({std::string(part.substr(0, end)), std::string(json),
                             json.empty() ? "function" : "", ++line});
  }
  return values;
}

void test_one_input(std::string_view input) {
  static const Directory directory;
  if (input.empty()) return;
  const auto kind = static_cast<SettingsSource>(static_cast<unsigned char>(input[0]) % 4);
  const std::string_view text = input.substr(1);
  Source source;
  switch (kind) {
    case SettingsSource::kToml:
      std::ofstream(directory.file("corn.toml"), std::ios::binary) << text;
      check_answer(source, directory.path());
      std::filesystem::remove(directory.file("corn.toml"));
      break;
    case SettingsSource::kCommandLine:
      for (std::string_view part : split(text, '\n')) source.arguments.emplace_back(part);
      check_answer(source, directory.path());
      break;
    case SettingsSource::kVariables:
      source.arguments = {"app"};
      for (std::string_view part : split(text, '\n')) {
        const std::size_t end = std::min(part.find('='), part.size());
        source.environment[std::string(part.substr(0, end))] =
            part.substr(std::min(end + 1, part.size()));
      }
      check_answer(source, directory.path());
      break;
    case SettingsSource::kPython:
      std::ofstream(directory.file("gunicorn.conf.py")).flush();
      source.python = python_values(text);
      check_answer(source, directory.path());
      std::filesystem::remove(directory.file("gunicorn.conf.py"));
      break;
  }
}

}  // namespace
}  // namespace corn::config

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  corn::config::test_one_input({reinterpret_cast<const char*>(data), size});
  return 0;
}
