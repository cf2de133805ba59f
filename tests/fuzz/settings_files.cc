// SPDX-License-Identifier: Apache-2.0
// Configuration files: whatever is written in them, the answer is settings or an error.
#include <filesystem>
#include <fstream>

#include "arbiterd/config/text.h"
#include "tests/fuzz/settings_answer.h"

namespace corn::config {
namespace {

// A value without JSON is an object of Python.
base::ConfigValues python_values(std::string_view text) {
  base::ConfigValues values;
  std::uint32_t line = 0;
  for (const std::string_view part : split(text, '\n')) {
    auto [name, json] = name_and_value(part);
    const char* const type = json.empty() ? "function" : "";
    values.values.push_back({std::move(name), std::move(json), type, ++line});
  }
  return values;
}

void test_one_input(std::string_view input) {
  static const Directory directory;
  if (input.empty()) return;
  const auto kind = static_cast<FileSource>(static_cast<unsigned char>(input[0]) % 2);
  const std::string_view text = input.substr(1);
  Source source;
  const std::string file =
      directory.file(kind == FileSource::kToml ? "corn.toml" : "gunicorn.conf.py");
  std::ofstream(file, std::ios::binary) << text;
  if (kind == FileSource::kPython) source.python = python_values(text);
  check_answer(source, directory.path());
  std::filesystem::remove(file);
}

}  // namespace
}  // namespace corn::config

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  corn::config::test_one_input({reinterpret_cast<const char*>(data), size});
  return 0;
}
