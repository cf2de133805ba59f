// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/os/oom_counter.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace corn::os {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class OomCounterTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "oom-XXXXXX").string();
    directory_ = ::mkdtemp(pattern.data());
    std::filesystem::create_directories(directory_ + "/a/b");
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  // A hierarchy mounted at the test's directory.
  [[nodiscard]] std::string mount(const std::string& root, const std::string& type,
                                  const std::string& options) const {
    return "23 1 0:5 / / rw - ext4 /dev/sda rw\n35 31 0:32 " + root + " " + directory_ +
           " rw,relatime shared:7 master:2 - " + type + " cgroup " + options + "\n";
  }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(directory_ + "/a/b/" + name) << text;
  }

  std::string directory_;
  base::TimePoint now_{seconds(100)};
};

TEST_F(OomCounterTest, FindsTheGroupOfEitherVersion) {
  EXPECT_EQ(OomCounter::find("4:memory:/a/b\n0::/x\n", mount("/", "cgroup", "rw,memory")).path(),
            directory_ + "/a/b/memory.oom_control");
  EXPECT_EQ(OomCounter::find("0::/a/b\n", mount("/", "cgroup2", "rw")).path(),
            directory_ + "/a/b/memory.events");
  EXPECT_EQ(OomCounter::find("0::/pod/a/b\n", mount("/pod", "cgroup2", "rw")).path(),
            directory_ + "/a/b/memory.events");
  EXPECT_EQ(OomCounter::find("3:cpu,memory:/a/b\n", mount("/", "cgroup", "rw,cpu,memory")).path(),
            directory_ + "/a/b/memory.oom_control");
}

TEST_F(OomCounterTest, WithoutAGroupNothingIsClaimed) {
  for (const char* groups : {"", "garbage", "0::/a/b\n", "4:cpu:/\n"}) {
    OomCounter counter = OomCounter::find(groups, "");
    EXPECT_EQ(counter.path(), "");
    EXPECT_FALSE(counter.claim(now_));
  }
}

TEST_F(OomCounterTest, EachKillIsGoodForOneClaimAndNotForLong) {
  write("memory.events", "low 0\noom 3\noom_kill 2\n");
  OomCounter counter = OomCounter::find("0::/a/b\n", mount("/", "cgroup2", "rw"));
  EXPECT_FALSE(counter.claim(now_)) << "the kills of before are nobody's";
  write("memory.events", "low 0\noom 3\noom_kill 5\n");
  EXPECT_TRUE(counter.claim(now_));
  EXPECT_TRUE(counter.claim(now_ + milliseconds(10)));
  EXPECT_FALSE(counter.claim(now_ + seconds(2)));
  write("memory.events", "low 0\noom 3\noom_kill 6\n");
  EXPECT_TRUE(counter.claim(now_ + seconds(3)));
  EXPECT_FALSE(counter.claim(now_ + seconds(3)));
}

TEST_F(OomCounterTest, AGroupThatGoesAwayClaimsNothing) {
  write("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n");
  OomCounter counter = OomCounter::find("4:memory:/a/b\n", mount("/", "cgroup", "rw,memory"));
  std::filesystem::remove_all(directory_ + "/a");
  EXPECT_FALSE(counter.claim(now_));
}

}  // namespace
}  // namespace corn::os
