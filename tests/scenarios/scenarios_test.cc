// SPDX-License-Identifier: Apache-2.0
// Every scenario of this directory holds. CORN_REWRITE=1 takes what comes out as what is expected;
// the difference is then reviewed like code.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/scenarios/interpreter.h"

namespace corn::scenarios {
namespace {

std::vector<std::filesystem::path> scenario_files() {
  std::vector<std::filesystem::path> files;
  const std::filesystem::path directory = CORN_SOURCE_DIR "/tests/scenarios";
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    if (entry.path().extension() == ".txt") files.push_back(entry.path());
  }
  std::ranges::sort(files);
  return files;
}

std::string test_name(const testing::TestParamInfo<std::filesystem::path>& info) {
  std::string name = info.param.stem();
  std::ranges::replace(name, '-', '_');
  return name;
}

class Scenario : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(Scenario, Holds) {
  const bool rewrite = std::getenv("CORN_REWRITE") != nullptr;
  EXPECT_EQ(check_file(GetParam(), rewrite), "") << GetParam();
}

TEST_P(Scenario, OpensWithTheRuleItGuards) {
  std::ifstream file(GetParam());
  std::string line;
  std::getline(file, line);
  EXPECT_TRUE(line.starts_with("# ")) << GetParam();
}

INSTANTIATE_TEST_SUITE_P(All, Scenario, testing::ValuesIn(scenario_files()), test_name);

TEST(ScenarioLanguage, AnUnknownCommandIsAnError) {
  EXPECT_EQ(run("dance\n----\n"), "dance\n----\nerror: no such command: dance\n");
}

}  // namespace
}  // namespace corn::scenarios
