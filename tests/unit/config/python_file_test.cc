// SPDX-License-Identifier: Apache-2.0
#include "fixture.h"

namespace corn::config {
namespace {

class PythonFileTest : public ConfigTest {
 protected:
  PythonFileTest() { write("gunicorn.conf.py", ""); }
};

TEST_F(PythonFileTest, ValuesAreTakenAsGunicornTakesThem) {
  python("workers", "\"4\"", 1);
  python("bind", R"(["127.0.0.1:1", "unix:/run/a.sock"])", 2);
  python("timeout", "2.5", 3);
  python("umask", "18", 4);
  python("user", "0", 5);
  python("forwarded_allow_ips", "\"*\"", 6);
  python("secure_scheme_headers", R"({"x-scheme": "https"})", 7);
  python("capture_output", "true", 8);
  python("loglevel", "\"DEBUG\"", 9);
  const Settings settings = good({"app"});
  const PoolSettings& pool = settings.pools[0];
  EXPECT_EQ(pool.spec.workers, 4U);
  EXPECT_EQ(pool.binds.size(), 2U);
  EXPECT_EQ(pool.worker.timeout, std::chrono::milliseconds(2500));
  EXPECT_EQ(pool.umask, 022U);
  EXPECT_EQ(pool.user, "0");
  EXPECT_THAT(pool.worker.forwarded_allow_ips, testing::ElementsAre("*"));
  EXPECT_THAT(pool.worker.secure_scheme_headers, testing::ElementsAre("X-SCHEME=https"));
  EXPECT_TRUE(pool.worker.capture_output);
  EXPECT_EQ(settings.arbiter.log.level, base::LogLevel::kDebug);
}

TEST_F(PythonFileTest, MistakesHaveFileAndLine) {
  python("workers", "\"many\"", 12);
  python_object("bind", "function", 0);
  EXPECT_EQ(error({"app"}),
            "gunicorn.conf.py:12: workers = \"many\": a whole number from 1 to 1000 is wanted\n"
            "gunicorn.conf.py: bind = <function>: HOST:PORT, [IPV6-ADDRESS]:PORT, unix:PATH, "
            "fd://NUMBER, or a list of these, is wanted");
}

TEST_F(PythonFileTest, WholeNumbersMayHaveAPoint) {
  python("workers", "2.0", 1);
  EXPECT_EQ(pool({"app"}).spec.workers, 2U);
  python("threads", "2.5", 2);
  python("max_requests", "1e300", 3);
  EXPECT_THAT(error({"app"}), testing::AllOf(testing::HasSubstr(":2: threads = 2.5: a whole"),
                                             testing::HasSubstr(":3: max_requests = 1e+300: a")));
}

TEST_F(PythonFileTest, WorkerClassesOfOnesOwnAreRefusedWithTheAlternatives) {
  python("worker_class", "\"paperless.workers.ConfigurableWorker\"", 1);
  EXPECT_EQ(
      error({"app"}),
      "gunicorn.conf.py:1: worker_class = \"paperless.workers.ConfigurableWorker\": worker "
      "classes of one's own are not run, because Corn's workers are a program; asgi is wanted "
      "for an asynchronous application, sync, gthread or gevent for any other");
  EXPECT_THAT(error({"-k", "aiohttp.GunicornWebWorker", "app"}),
              testing::HasSubstr("an application of aiohttp.web is none of ASGI"));
  EXPECT_THAT(error({"-k", "quantum", "app"}),
              testing::HasSubstr("sync, gthread, gevent or asgi is wanted"));
}

TEST_F(PythonFileTest, NamesOfTheAuthorsOwnAreIgnored) {
  python("my_database", "\"x\"", 1);
  python("version", "\"1.0\"", 2);
  python("help", "\"x\"", 3);
  python("config", "{\"a\": 1}", 4);
  python_object("helper", "function", 5);
  python("Workers", "9", 6);
  EXPECT_EQ(pool({"app"}).spec.workers, 1U);
}

TEST_F(PythonFileTest, NoneIsNoValue) {
  python("accesslog", "null", 1);
  python("workers", "null", 2);
  python("post_fork", "null", 3);
  python("certfile", "null", 4);
  EXPECT_EQ(pool({"app"}).spec.workers, 1U);
}

TEST_F(PythonFileTest, HooksAreNotedByName) {
  python_object("post_fork", "function", 30);
  python("worker_exit", "\"my.module.saved\"", 31);
  python("child_exit", "null", 32);
  const PoolSettings settings = pool({"-w", "2", "app"});
  EXPECT_THAT(settings.hooks, testing::UnorderedElementsAre("post_fork", "worker_exit"));
  EXPECT_TRUE(settings.uses_template());
  EXPECT_EQ(shown(settings.effective, "post_fork"), "\"<function>\" from gunicorn.conf.py:30");
  EXPECT_EQ(shown(settings.effective, "child_exit"), "no such setting: child_exit");
  EXPECT_EQ(settings.worker.config_file, directory_ + "/gunicorn.conf.py");
}

TEST_F(PythonFileTest, WarmingUpIsNotedAsWithoutEffectInAsgi) {
  python("preload_warm_up", "\"/\"", 30);
  python("preload_app", "true", 31);
  EXPECT_THAT(
      good({"-k", "asgi", "app"}).notes,
      testing::ElementsAre(testing::StartsWith(
          "gunicorn.conf.py:30: preload_warm_up has no effect with the worker class asgi")));
  EXPECT_THAT(good({"-k", "gthread", "app"}).notes, testing::IsEmpty());
}

TEST_F(PythonFileTest, HandlersThatCornsLinesDoNotPassThroughAreNoted) {
  python(
      "logconfig_dict",
      R"({"loggers": {"gunicorn.access": {"filters": ["health"]}, "shop": {"handlers": ["x"]}}})",
      7);
  EXPECT_THAT(good({"app"}).notes,
              testing::ElementsAre(
                  "gunicorn.conf.py:7: logconfig_dict gives gunicorn.access handlers or filters, "
                  "through which the access log does not pass, as Python doesn't write it; use "
                  "accesslog with access_log_format or log_format"));
}

TEST_F(PythonFileTest, LoggersOfTheApplicationsOwnAreNotNoted) {
  python("logconfig_dict",
         R"({"loggers": {"gunicorn.error": {"level": "INFO", "handlers": []},
                         "shop": {"handlers": ["x"]}}})",
         7);
  EXPECT_THAT(good({"app"}).notes, testing::IsEmpty());
}

TEST_F(PythonFileTest, LoggingFilesAreReadForGunicornsLoggers) {
  write("log.json", R"({"loggers": {"gunicorn.error": {"handlers": ["x"]}}})");
  EXPECT_THAT(good({"--log-config-json", "log.json", "app"}).notes,
              testing::ElementsAre(testing::HasSubstr(
                  "logconfig_json gives gunicorn.error handlers or filters, through which Corn's "
                  "own entries of the error log do not pass")));
  write("log.ini",
        "[loggers]\nkeys=root, a, e, shop\n[logger_a]\nhandlers = file\nqualname: "
        "gunicorn.access\n"
        "[logger_e]\n# handlers=file\nqualname=gunicorn.error\nhandlers=console\n"
        "[logger_shop]\nqualname=shop\nhandlers=file\n");
  EXPECT_THAT(good({"--log-config", "log.ini", "app"}).notes,
              testing::ElementsAre(testing::AllOf(
                  testing::HasSubstr("logconfig gives gunicorn.access and gunicorn.error handlers"),
                  testing::HasSubstr("log_format and errorlog"))));
  write("log.ini", "[logger_e]\nqualname=gunicorn.error\nhandlers=\n");
  EXPECT_THAT(good({"--log-config", "log.ini", "app"}).notes, testing::IsEmpty());
  write("log.json", "{");
  EXPECT_THAT(good({"--log-config-json", "log.json", "app"}).notes, testing::IsEmpty());
}

TEST_F(PythonFileTest, WhatIsNoFunctionIsNoHook) {
  python("post_fork", "7", 3);
  python("pre_fork", "\"nonsense\"", 4);
  EXPECT_EQ(
      error({"app"}),
      "gunicorn.conf.py:3: post_fork = 7: a function, or its name as PACKAGE.MODULE.FUNCTION, "
      "is wanted\n"
      "gunicorn.conf.py:4: pre_fork = \"nonsense\": a function, or its name as "
      "PACKAGE.MODULE.FUNCTION, is wanted");
}

TEST_F(PythonFileTest, HooksThatHaveNothingToCallThemAreRefused) {
  python_object("ssl_context", "function", 3);
  python_object("on_dirty_starting", "function", 4);
  const std::string said = error({"app"});
  EXPECT_THAT(said,
              testing::HasSubstr("gunicorn.conf.py:3: ssl_context = <function>: refused: TLS"));
  EXPECT_THAT(said, testing::HasSubstr("gunicorn.conf.py:4: on_dirty_starting"));
}

TEST_F(PythonFileTest, AnOnlyWorkerWithAnExitHookIsReplacedExclusively) {
  python_object("worker_exit", "function", 3);
  EXPECT_EQ(pool({"app"}).spec.handover, core::Handover::kExclusive);
  EXPECT_EQ(shown(pool({"app"}).effective, "handover"), "\"exclusive\" from default");
  EXPECT_EQ(pool({"-w", "2", "app"}).spec.handover, core::Handover::kOverlap);
  EXPECT_EQ(pool({"--handover", "overlap", "app"}).spec.handover, core::Handover::kOverlap);
}

TEST_F(PythonFileTest, AnyoneElseIsReplacedWithOverlap) {
  python_object("post_fork", "function", 3);
  EXPECT_EQ(pool({"app"}).spec.handover, core::Handover::kOverlap);
}

// What `cfg` of a hook is made from.
TEST_F(PythonFileTest, SettingsInForceArePassedOnWithTheirTypes) {
  python("workers", "3", 1);
  python("timeout", "1.5", 2);
  python("secure_scheme_headers", "{\"X-SCHEME\": \"https\"}", 3);
  python("proc_name", "\"shop\"", 4);
  const std::string json = pool({"--preload", "app"}).worker.settings;
  for (const char* part :
       {"\"workers\":3", "\"timeout\":1.5", "\"graceful_timeout\":30", "\"preload_app\":true",
        "\"secure_scheme_headers\":{\"X-SCHEME\":\"https\"}", "\"proc_name\":\"shop\"",
        "\"certfile\":null", "\"bind\":[\"127.0.0.1:8000\"]", "\"wsgi_app\":\"app\"",
        "\"cert_reqs\":0"}) {
    EXPECT_THAT(json, testing::HasSubstr(part));
  }
  EXPECT_THAT(json, testing::Not(testing::HasSubstr("post_fork")));
}

TEST_F(PythonFileTest, ModesBelongToTheCommandLine) {
  python("check_config", "false", 1);
  EXPECT_EQ(pool({"app"}).spec.workers, 1U);
  python("print_config", "true", 2);
  EXPECT_EQ(error({"app"}),
            "gunicorn.conf.py:2: print_config = true: this is an option of the command line, not "
            "of a file");
}

TEST_F(PythonFileTest, BrokenJsonIsAnObject) {
  python("workers", "{", 3);
  EXPECT_EQ(error({"app"}),
            "gunicorn.conf.py:3: workers = <>: a whole number from 1 to 1000 is wanted");
}

TEST_F(PythonFileTest, NumbersBeyondAllBoundsAreRefused) {
  python("max_requests", "18446744073709551615", 3);
  EXPECT_THAT(error({"app"}), testing::HasSubstr("a whole number from 0 to 1000000000000"));
}

TEST_F(PythonFileTest, RelativePathsStartFromChdir) {
  make_directory("srv");
  python("chdir", "\"srv\"", 1);
  python("pidfile", "\"a.pid\"", 2);
  python("errorlog", "\"logs/e.log\"", 3);
  const Settings settings = good({"app"});
  EXPECT_EQ(settings.arbiter.pid_file, directory_ + "/srv/a.pid");
  EXPECT_EQ(settings.arbiter.log.path, directory_ + "/srv/logs/e.log");
  EXPECT_EQ(settings.pools[0].worker.error_log, directory_ + "/srv/logs/e.log");
}

}  // namespace
}  // namespace corn::config
