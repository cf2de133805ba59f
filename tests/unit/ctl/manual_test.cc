// SPDX-License-Identifier: Apache-2.0
#include "ctl/manual.h"

#include <gmock/gmock.h>

#include <fstream>
#include <iterator>

#include "ctl/cli.h"

namespace corn::ctl {
namespace {

using testing::HasSubstr;

// Help texts and completions are made from the same table.
TEST(Manual, KnowsEveryCommandAndNoOther) {
  std::vector<std::string> documented;
  for (const CommandManual& manual : command_manuals()) documented.emplace_back(manual.name);
  EXPECT_THAT(documented, testing::UnorderedElementsAreArray(command_names()));
}

TEST(Manual, ThePageForManDescribesEveryCommand) {
  std::ifstream file(CORN_SOURCE_DIR "/packaging/man/cornctl.1");
  const std::string page{std::istreambuf_iterator<char>(file), {}};
  for (const std::string& name : command_names()) {
    EXPECT_THAT(page, HasSubstr("\n.It Cm " + name)) << name;
  }
}

}  // namespace
}  // namespace corn::ctl
