// SPDX-License-Identifier: Apache-2.0
#include "fixture.h"

namespace corn::config {
namespace {

using ReloadRuleTest = ConfigTest;
using testing::ElementsAre;
using testing::IsEmpty;

TEST_F(ReloadRuleTest, WhatAReloadAppliesIsNoDifference) {
  const Settings running = good({"-w", "2", "app"});
  const Settings loaded = good({"-w", "3", "--log-level", "debug", "-b", ":1", "app"});
  EXPECT_THAT(unchangeable_differences(running, loaded), IsEmpty());
}

TEST_F(ReloadRuleTest, WhatTakesARestartIsTold) {
  const Settings running = good({"app"});
  write("corn.toml", "[arbiter]\nproc_name = 'new'\ndaemon = true\n[pool.default]\n");
  const Settings loaded = good({"app"});
  EXPECT_THAT(
      unchangeable_differences(running, loaded),
      ElementsAre("corn.toml:2: proc_name = \"new\" takes a restart of arbiterd; \"\" stays "
                  "in force",
                  "corn.toml:3: daemon = true takes a restart of arbiterd; false stays in "
                  "force"));
}

TEST_F(ReloadRuleTest, OpenListenersKeepTheirOptions) {
  const Settings running = good({"-b", ":1", "app"});
  EXPECT_THAT(unchangeable_differences(running, good({"-b", ":1", "--backlog", "9", "app"})),
              ElementsAre("command line: backlog = 9 of pool default holds for new listeners only; "
                          "those open keep 2048"));
  EXPECT_THAT(unchangeable_differences(running, good({"-b", ":2", "--backlog", "9", "app"})),
              IsEmpty());
}

TEST_F(ReloadRuleTest, TheRunningValuesAreKept) {
  const Settings running =
      good({"-n", "old", "-p", "old.pid", "--control", "unix:/run/old.sock", "old:app"});
  Settings loaded = good({"-n", "new", "-p", "new.pid", "--control", "unix:/run/new.sock", "-D",
                          "--log-level", "debug", "new:app"});
  keep_unchangeable(running, loaded);
  EXPECT_EQ(loaded.arbiter.name, "old");
  EXPECT_EQ(loaded.arbiter.default_proc_name, "old:app");
  EXPECT_EQ(loaded.arbiter.pid_file, directory_ + "/old.pid");
  EXPECT_EQ(loaded.arbiter.control, "unix:/run/old.sock");
  EXPECT_FALSE(loaded.arbiter.daemon);
  EXPECT_EQ(loaded.arbiter.log.level, base::LogLevel::kDebug);
  EXPECT_EQ(shown(loaded.arbiter.effective, "proc_name"), "\"old\" from command line");
  EXPECT_EQ(shown(loaded.arbiter.effective, "loglevel"), "\"debug\" from command line");
  EXPECT_THAT(unchangeable_differences(running, loaded), IsEmpty());
}

}  // namespace
}  // namespace corn::config
