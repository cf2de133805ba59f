// SPDX-License-Identifier: Apache-2.0
#include "fixture.h"

namespace corn::config {
namespace {

using testing::HasSubstr;

class TomlFileTest : public ConfigTest {
 protected:
  std::string error_in(const std::string& content, const Arguments& arguments = {"app"}) {
    write("corn.toml", content);
    return error(arguments);
  }
};

TEST_F(TomlFileTest, ABadValueIsNamedWithPlaceAndWhatIsWanted) {
  EXPECT_EQ(error_in("\n\n[arbiter]\n\n\n[pool.web]\nworkers = \"many\"\n"),
            "corn.toml:7: workers = \"many\": a whole number from 1 to 1000 is wanted");
}

TEST_F(TomlFileTest, AllMistakesAreToldAtOnce) {
  EXPECT_EQ(error_in("[pool.web]\nworkers = 0\nthreads = true\n[arbiter]\ndaemon = 'yes'\n"),
            "corn.toml:3: threads = true: a whole number from 1 to 1024 is wanted\n"
            "corn.toml:2: workers = 0: a whole number from 1 to 1000 is wanted\n"
            "corn.toml:5: daemon = \"yes\": true or false is wanted");
}

TEST_F(TomlFileTest, SyntaxErrorsHaveTheirLine) {
  const std::string message = error_in("[pool.web]\nworkers = = 3\n");
  EXPECT_THAT(message, testing::StartsWith("corn.toml:2: this is not TOML: "));
}

TEST_F(TomlFileTest, UnknownKeysAreRefusedWithWhatIsNear) {
  EXPECT_EQ(error_in("[pool.web]\nworker = 3\n"),
            "corn.toml:2: there is no setting worker in [pool.web]; did you mean workers?");
  EXPECT_EQ(error_in("[pool.web]\nkeep_alive = 3\n"),
            "corn.toml:2: there is no setting keep_alive in [pool.web]; did you mean keepalive?");
  EXPECT_EQ(
      error_in("[arbiter]\naccess-logfile = 'x'\n"),
      "corn.toml:2: there is no setting access-logfile in [arbiter]; did you mean accesslog?");
  EXPECT_EQ(error_in("[pool.web]\nflavour = 3\n"),
            "corn.toml:2: there is no setting flavour in [pool.web]");
}

TEST_F(TomlFileTest, KeysStandInTheirTable) {
  EXPECT_EQ(error_in("[arbiter]\nworkers = 3\n"),
            "corn.toml:2: workers stands in [arbiter]; it belongs in [pool.NAME]");
  EXPECT_EQ(error_in("[pool.web]\npidfile = 'x'\n"),
            "corn.toml:2: pidfile stands in [pool.web]; it belongs in [arbiter]");
  EXPECT_EQ(error_in("workers = 3\n"),
            "corn.toml:1: workers stands outside of the tables; it belongs in [pool.NAME]");
  EXPECT_EQ(error_in("pidfile = 'x'\n"),
            "corn.toml:1: pidfile stands outside of the tables; it belongs in [arbiter]");
  EXPECT_EQ(error_in("[pools.web]\n"),
            "corn.toml:1: pools is not known here; [arbiter] and [pool.NAME] are wanted");
  EXPECT_EQ(error_in("[pool]\nworkers = 3\n"),
            "corn.toml:2: workers stands in [pool]; a pool with a name, [pool.NAME], is wanted");
  EXPECT_EQ(error_in("[arbiter]\ncheck_config = true\n"),
            "corn.toml:2: check_config is an option of the command line, not of a file");
}

TEST_F(TomlFileTest, PoolNamesFitPathsAndMetrics) {
  EXPECT_THAT(error_in("[pool.\"a b\"]\n"), HasSubstr("a name of at most 32 letters"));
  EXPECT_THAT(error_in("[pool." + std::string(33, 'x') + "]\n"), HasSubstr("at most 32 letters"));
}

TEST_F(TomlFileTest, APoolNeedsAnApplication) {
  EXPECT_EQ(error_in("[pool.web]\nworkers = 2\n", {}),
            "corn.toml:1: [pool.web]: No application module specified. Name it as wsgi_app = "
            "\"module:callable\".");
}

TEST_F(TomlFileTest, SeveralPoolsHaveTheirOwnSettings) {
  write(
      "corn.toml",
      "[arbiter]\nproc_name = 'shop'\n"
      "[pool.web]\nwsgi_app = 'shop:web'\nbind = '127.0.0.1:1'\nworkers = 4\n"
      "[pool.api]\nwsgi_app = 'shop:api'\nbind = ['127.0.0.1:2', 'unix:api.sock']\nthreads = 8\n");
  const Settings settings = good({"--log-level", "debug"});
  EXPECT_EQ(settings.arbiter.name, "shop");
  EXPECT_EQ(settings.arbiter.default_proc_name, "shop:web");
  ASSERT_EQ(settings.pools.size(), 2U);
  EXPECT_EQ(settings.pools[0].spec.name, "web");
  EXPECT_EQ(settings.pools[0].spec.workers, 4U);
  EXPECT_EQ(settings.pools[1].worker.pool, "api");
  EXPECT_EQ(settings.pools[1].worker.worker_class, base::WorkerClass::kThreads);
  EXPECT_THAT(settings.pools[1].binds,
              testing::ElementsAre("127.0.0.1:2", "unix:" + directory_ + "/api.sock"));
  EXPECT_EQ(settings.pools[1].worker.log_level, "debug");
}

TEST_F(TomlFileTest, OptionsForAPoolAreRefusedWhenThereAreSeveral) {
  write("corn.toml",
        "[pool.web]\nwsgi_app = 'a'\nbind = ':1'\n[pool.api]\nwsgi_app = 'b'\nbind = ':2'\n");
  environment_["CORN_CMD_ARGS"] = "--threads 2";
  EXPECT_EQ(error({"-w", "2", "-c", "corn.toml", "app"}),
            "corn.toml has several pools (web, api), so that options for a pool are ambiguous; "
            "move into the file: --threads (CORN_CMD_ARGS), --workers (command line), APP (command "
            "line)");
  environment_.clear();
  EXPECT_EQ(good({"-c", "corn.toml", "--check-config", "-n", "x"}).pools.size(), 2U);
}

TEST_F(TomlFileTest, TwoPoolsCannotShareAnAddress) {
  EXPECT_EQ(error_in("[pool.web]\nwsgi_app = 'a'\n[pool.api]\nwsgi_app = 'b'\n", {}),
            "bind: the pools web and api both listen on 127.0.0.1:8000; each pool wants addresses "
            "of its own");
  EXPECT_EQ(error_in("[pool.web]\nbind = ':1, :1'\n"), "bind: :1 is named twice");
  write("corn.toml", "[pool.web]\nbind = ['127.0.0.1:0', '127.0.0.1:0']\n");
  EXPECT_EQ(pool({"app"}).binds.size(), 2U);
}

TEST_F(TomlFileTest, AFileWithoutPoolsMakesOne) {
  write("corn.toml", "[arbiter]\nproc_name = 'it'\n");
  const Settings settings = good({"app"});
  ASSERT_EQ(settings.pools.size(), 1U);
  EXPECT_EQ(settings.pools[0].spec.name, "default");
}

TEST_F(TomlFileTest, FilesElsewhereAreShownWithTheirPath) {
  const std::string path = write("x.toml", "[pool.web]\nworkers = 0\n");
  const auto invocation = read_invocation({"-c", path, "app"}, {}, "/");
  ASSERT_TRUE(invocation.has_value());
  const auto settings = resolve(*invocation, std::nullopt);
  ASSERT_FALSE(settings.has_value());
  EXPECT_THAT(settings.error().message, HasSubstr(path.substr(1) + ":2: workers = 0"));
}

TEST_F(TomlFileTest, AFileThatVanishesIsAnError) {
  write("corn.toml", "[pool.web]\n");
  const auto invocation = read_invocation({"app"}, {}, directory_);
  ASSERT_TRUE(invocation.has_value());
  ASSERT_EQ(std::remove((directory_ + "/corn.toml").c_str()), 0);
  EXPECT_EQ(resolve(*invocation, std::nullopt).error().message,
            "cannot read the configuration file corn.toml: No such file or directory");
}

TEST_F(TomlFileTest, HooksWantAPythonFile) {
  write("corn.toml", "[pool.web]\nwsgi_app = 'app'\npost_fork = 'my.module.hook'\n");
  EXPECT_EQ(error({}),
            "corn.toml:3: post_fork is a hook, a Python function; hooks are set in a Python file, "
            "such as gunicorn.conf.py");
}

TEST_F(TomlFileTest, PoolsArePreloadedAndWarmedUpEachForItself) {
  write("corn.toml",
        "[pool.web]\nwsgi_app = 'app'\npreload_app = true\npreload_warm_up = ['/a', '/b?c']\n");
  const PoolSettings web = pool({});
  EXPECT_TRUE(web.worker.preload);
  EXPECT_TRUE(web.uses_template());
  EXPECT_THAT(web.worker.warm_up, testing::ElementsAre("/a", "/b?c"));
  EXPECT_EQ(web.worker.config_file, "");
  write("corn.toml", "[pool.web]\nwsgi_app = 'app'\npreload_warm_up = '/a'\n");
  EXPECT_THAT(error({}), testing::HasSubstr("nothing to warm up without preload_app"));
  write("corn.toml", "[pool.web]\nwsgi_app = 'app'\npreload_app = true\npreload_warm_up = 'a'\n");
  EXPECT_THAT(error({}), testing::HasSubstr("a path that begins with /"));
}

}  // namespace
}  // namespace corn::config
