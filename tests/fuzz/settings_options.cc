// SPDX-License-Identifier: Apache-2.0
// Command line and variables: whatever they say, the answer is settings or an error.
#include "arbiterd/config/text.h"
#include "tests/fuzz/settings_answer.h"

namespace corn::config {
namespace {

void test_one_input(std::string_view input) {
  static const Directory directory;
  if (input.empty()) return;
  const auto kind = static_cast<OptionSource>(static_cast<unsigned char>(input[0]) % 2);
  Source source;
  for (const std::string_view part : split(input.substr(1), '\n')) {
    if (kind == OptionSource::kCommandLine) {
      source.arguments.emplace_back(part);
    } else {
      source.environment.insert(name_and_value(part));
    }
  }
  check_answer(source, directory.path());
}

}  // namespace
}  // namespace corn::config

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  corn::config::test_one_input({reinterpret_cast<const char*>(data), size});
  return 0;
}
