// SPDX-License-Identifier: Apache-2.0
// Every rule of the decision core, switched off, breaks a scenario. The sources with the switches
// and the list of rules are made by mutate.py.
#include <gtest/gtest.h>

#include "tests/scenarios/interpreter.h"

int corn_mutant = 0;  // the rule that is off

namespace corn::scenarios {
namespace {

struct Mutation {
  int number;
  const char* rule;
  const char* scenario;
};

const Mutation kMutations[] = {
#include "mutations.inc"
};

std::string path_of(const char* scenario) {
  return std::string(CORN_SOURCE_DIR "/tests/scenarios/") + scenario + ".txt";
}

std::string test_name(const testing::TestParamInfo<Mutation>& info) {
  std::string name;
  for (const char* c = info.param.rule; *c != '\0'; ++c) {
    name += std::isalnum(static_cast<unsigned char>(*c)) != 0 ? *c : '_';
  }
  return name;
}

class RuleSwitchedOff : public testing::TestWithParam<Mutation> {
 protected:
  void TearDown() override { corn_mutant = 0; }
};

TEST_P(RuleSwitchedOff, BreaksItsScenario) {
  ASSERT_EQ(check_file(path_of(GetParam().scenario), false), "") << "with the rule on";
  corn_mutant = GetParam().number;
  EXPECT_NE(check_file(path_of(GetParam().scenario), false), "")
      << "nothing guards the rule: " << GetParam().rule;
}

INSTANTIATE_TEST_SUITE_P(All, RuleSwitchedOff, testing::ValuesIn(kMutations), test_name);

}  // namespace
}  // namespace corn::scenarios
