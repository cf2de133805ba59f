// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/driver/upgrade.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace corn::driver {
namespace {

class UpgradeTest : public testing::Test {
 protected:
  UpgradeTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "upgrade-XXXXXX").string();
    directory = ::mkdtemp(pattern.data());
    started.program = directory / "arbiterd";
    started.working_directory = directory;
    write("arbiterd");
  }
  ~UpgradeTest() override { std::filesystem::remove_all(directory); }
  void write(const std::string& name) const {
    std::ofstream(directory / name) << "#!/bin/false\n";
    ::chmod((directory / name).c_str(), 0755);
  }

  std::filesystem::path directory;
  StartedAs started;
};

TEST_F(UpgradeTest, AProgramThatWasReplacedSinceItsCheckIsNotRun) {
  const std::string checked = mark_of_program(started);
  EXPECT_NE(checked, "");
  EXPECT_EQ(mark_of_program(started), checked);
  write("other");
  std::filesystem::rename(directory / "other", directory / "arbiterd");
  EXPECT_NE(mark_of_program(started), checked);
  const auto before = std::filesystem::current_path();
  const base::Error error = exec_upgrade(started, {}, checked);
  EXPECT_THAT(error.message, testing::HasSubstr("is not the program that was checked"));
  EXPECT_EQ(std::filesystem::current_path(), before);
}

TEST_F(UpgradeTest, AProgramThatIsGoneHasNoMark) {
  std::filesystem::remove(directory / "arbiterd");
  EXPECT_EQ(mark_of_program(started), "");
}

}  // namespace
}  // namespace corn::driver
