// SPDX-License-Identifier: Apache-2.0
#include "fixture.h"

namespace corn::config {
namespace {

using PrecedenceTest = ConfigTest;

TEST_F(PrecedenceTest, EachSourceOverridesTheWeakerOnes) {
  EXPECT_EQ(shown(pool({"a"}).effective, "workers"), "1 from default");
  environment_["WEB_CONCURRENCY"] = "2";
  EXPECT_EQ(shown(pool({"a"}).effective, "workers"), "2 from environment variable WEB_CONCURRENCY");
  write("corn.toml", "[pool.web]\nworkers = 3\n");
  EXPECT_EQ(shown(pool({"a"}).effective, "workers"), "3 from corn.toml:2");
  environment_["CORN_CMD_ARGS"] = "--workers 4";
  EXPECT_EQ(shown(pool({"a"}).effective, "workers"), "4 from CORN_CMD_ARGS");
  const PoolSettings strongest = pool({"-w", "5", "a"});
  EXPECT_EQ(shown(strongest.effective, "workers"), "5 from command line");
  EXPECT_EQ(strongest.spec.workers, 5U);
}

TEST_F(PrecedenceTest, ThePythonFileIsWeakerThanTheVariable) {
  write("gunicorn.conf.py", "");
  python("workers", "3", 7);
  EXPECT_EQ(shown(pool({"a"}).effective, "workers"), "3 from gunicorn.conf.py:7");
  environment_["GUNICORN_CMD_ARGS"] = "--workers 4";
  EXPECT_EQ(shown(pool({"a"}).effective, "workers"), "4 from GUNICORN_CMD_ARGS");
}

TEST_F(PrecedenceTest, TheApplicationOfTheCommandLineOverridesTheFiles) {
  write("gunicorn.conf.py", "");
  python("wsgi_app", "\"from.file:app\"", 1);
  EXPECT_EQ(pool({}).worker.application, "from.file:app");
  EXPECT_EQ(pool({"from.line"}).worker.application, "from.line");
}

TEST_F(PrecedenceTest, ListsAreReplacedNotExtended) {
  write("corn.toml", "[pool.web]\nbind = ['127.0.0.1:1', '127.0.0.1:2']\n");
  EXPECT_THAT(pool({"-b", ":3", "a"}).binds, testing::ElementsAre(":3"));
}

TEST_F(PrecedenceTest, PortListensOnAllAddressesAsInGunicorn) {
  environment_["PORT"] = "5000";
  const PoolSettings settings = pool({"a"});
  EXPECT_THAT(settings.binds, testing::ElementsAre("0.0.0.0:5000"));
  EXPECT_EQ(shown(settings.effective, "bind"), "[\"0.0.0.0:5000\"] from environment variable PORT");
  environment_["PORT"] = "tcp://10.0.0.1:80";
  EXPECT_THAT(error({"a"}), testing::StartsWith("environment variable PORT: bind = "));
  EXPECT_THAT(pool({"-b", ":1", "a"}).binds, testing::ElementsAre(":1"));
}

TEST_F(PrecedenceTest, AnEmptyVariableIsNone) {
  environment_ = {{"PORT", ""}, {"WEB_CONCURRENCY", ""}, {"VIRTUAL_ENV", ""}};
  EXPECT_EQ(pool({"a"}).spec.workers, 1U);
}

TEST_F(PrecedenceTest, ForwardedAllowIpsComeFromTheEnvironment) {
  environment_["FORWARDED_ALLOW_IPS"] = "10.0.0.0/8";
  EXPECT_THAT(pool({"a"}).worker.forwarded_allow_ips, testing::ElementsAre("10.0.0.0/8"));
}

TEST_F(PrecedenceTest, AnEmptyTextTakesAWeakerSourcesValueBack) {
  write("corn.toml", "[arbiter]\npidfile = '/run/a.pid'\nerrorlog = '/var/log/a'\n[pool.web]\n");
  const Settings settings = good({"--pid=", "--log-file=", "a"});
  EXPECT_EQ(settings.arbiter.pid_file, "");
  EXPECT_EQ(settings.arbiter.log.path, "-");
  EXPECT_EQ(shown(settings.arbiter.effective, "errorlog"), "\"-\" from command line");
}

TEST_F(PrecedenceTest, ThePoolsOwnValueIsStrongerThanTheArbiters) {
  write("corn.toml",
        "[arbiter]\nloglevel = 'error'\n"
        "[pool.b]\nwsgi_app = 'b'\nbind = ':1'\nloglevel = 'debug'\n"
        "[pool.a]\nwsgi_app = 'a'\nbind = ':2'\n");
  const Settings settings = good({});
  EXPECT_EQ(settings.arbiter.log.level, base::LogLevel::kError);
  ASSERT_EQ(settings.pools.size(), 2U);
  EXPECT_EQ(settings.pools[0].spec.name, "b");  // the order of the file
  EXPECT_EQ(settings.pools[0].worker.log_level, "debug");
  EXPECT_EQ(settings.pools[1].worker.log_level, "error");
}

TEST_F(PrecedenceTest, WhatIsPrintedGivesTheSameSettingsWhenReadBack) {
  make_directory("run");
  environment_["PORT"] = "5000";
  const Settings first =
      good({"-w", "3", "-e", "A=b \"c\"", "-t", "2.5", "--max-memory", "1G", "-m", "022", "--chdir",
            "run", "--reload-surge", "2", "-u", "root", "-n", "it", "shop:app"});
  write("corn.toml", print_config(first));
  environment_.clear();
  const Settings second = good({});
  ASSERT_EQ(second.pools.size(), 1U);
  const auto values = [](const std::vector<EffectiveValue>& effective) {
    std::vector<std::string> texts;
    for (const EffectiveValue& value : effective) texts.push_back(value.name + value.value);
    return texts;
  };
  EXPECT_EQ(values(first.arbiter.effective), values(second.arbiter.effective));
  EXPECT_EQ(values(first.pools[0].effective), values(second.pools[0].effective));
  EXPECT_EQ(first.pools[0].spec, second.pools[0].spec);
}

}  // namespace
}  // namespace corn::config
