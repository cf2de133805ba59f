// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <filesystem>

#include "fixture.h"

namespace corn::config {
namespace {

using AssembleTest = ConfigTest;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;

TEST_F(AssembleTest, DefaultsAreGunicorns) {
  const Settings settings = good({"shop:app"});
  const PoolSettings& pool = settings.pools[0];
  EXPECT_EQ(pool.spec.name, "default");
  EXPECT_EQ(pool.spec.workers, 1U);
  EXPECT_EQ(pool.spec.timeout, seconds(30));
  EXPECT_EQ(pool.spec.boot_timeout, seconds(120));
  EXPECT_EQ(pool.spec.handover, core::Handover::kOverlap);
  EXPECT_EQ(pool.spec, [] {
    core::PoolSpec spec;
    spec.name = "default";
    return spec;
  }());
  EXPECT_THAT(pool.binds, ElementsAre("127.0.0.1:8000"));
  EXPECT_EQ(pool.backlog, 2048U);
  EXPECT_EQ(pool.umask, std::nullopt);
  EXPECT_EQ(pool.worker.application, "shop:app");
  EXPECT_EQ(pool.worker.worker_class, base::WorkerClass::kSync);
  EXPECT_EQ(pool.worker.keep_alive, seconds(2));
  EXPECT_EQ(pool.worker.header_timeout, seconds(30));
  EXPECT_EQ(pool.worker.body_memory, 1U << 20U);
  EXPECT_EQ(pool.worker.limit_request_line, 4094U);
  EXPECT_EQ(pool.worker.limit_request_field_size, 8190U);
  EXPECT_EQ(pool.worker.upload_directory, "/tmp");
  EXPECT_EQ(pool.worker.access_log, "");
  EXPECT_EQ(pool.worker.access_log_format,
            R"(%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s")");
  EXPECT_THAT(pool.worker.forwarded_allow_ips, ElementsAre("127.0.0.1", "::1"));
  EXPECT_THAT(pool.worker.forwarder_headers, ElementsAre("SCRIPT_NAME", "PATH_INFO"));
  EXPECT_THAT(
      pool.worker.secure_scheme_headers,
      ElementsAre("X-FORWARDED-PROTO=https", "X-FORWARDED-PROTOCOL=ssl", "X-FORWARDED-SSL=on"));
  EXPECT_EQ(pool.worker.working_directory, directory_);
  EXPECT_EQ(settings.arbiter.name, "");
  EXPECT_EQ(settings.arbiter.default_proc_name, "shop:app");
  EXPECT_EQ(settings.arbiter.log.path, "-");
  EXPECT_FALSE(settings.arbiter.daemon);
}

TEST_F(AssembleTest, ValuesReachTheirPlaces) {
  const PoolSettings pool = this->pool({"-k",
                                        "gthread",
                                        "--threads",
                                        "4",
                                        "--max-requests",
                                        "100",
                                        "--max-lifetime",
                                        "60",
                                        "--max-requests-jitter",
                                        "10",
                                        "--backlog",
                                        "64",
                                        "--request-timeout",
                                        "5",
                                        "--graceful-timeout",
                                        "7",
                                        "--keep-alive",
                                        "0",
                                        "--orphan-timeout",
                                        "9",
                                        "--reload-surge",
                                        "50%",
                                        "--handover",
                                        "exclusive",
                                        "--header-map",
                                        "refuse",
                                        "--reuse-port",
                                        "--access-logfile",
                                        "-",
                                        "--log-format",
                                        "json",
                                        "--restart-intensity",
                                        "3",
                                        "--restart-window",
                                        "4",
                                        "--boot-timeout",
                                        "11",
                                        "--body-min-rate",
                                        "12",
                                        "--max-memory",
                                        "1M",
                                        "--worker-connections",
                                        "13",
                                        "app"});
  EXPECT_EQ(pool.worker.worker_class, base::WorkerClass::kThreads);
  EXPECT_EQ(pool.worker.threads, 4U);
  EXPECT_EQ(pool.worker.max_requests, 100U);
  EXPECT_EQ(pool.worker.max_requests_jitter, 10U);
  EXPECT_EQ(pool.spec.max_lifetime, seconds(60));
  EXPECT_EQ(pool.backlog, 64U);
  EXPECT_EQ(pool.worker.request_timeout, seconds(5));
  EXPECT_EQ(pool.spec.request_timeout, seconds(5));
  EXPECT_EQ(pool.worker.graceful_timeout, seconds(7));
  EXPECT_EQ(pool.spec.graceful_timeout, seconds(7));
  EXPECT_EQ(pool.worker.keep_alive, seconds(0));
  EXPECT_EQ(pool.worker.orphan_timeout, seconds(9));
  EXPECT_EQ(pool.spec.reload_surge, 50U);
  EXPECT_TRUE(pool.spec.reload_surge_percent);
  EXPECT_EQ(pool.spec.handover, core::Handover::kExclusive);
  EXPECT_EQ(pool.worker.header_map, base::HeaderMap::kRefuse);
  EXPECT_TRUE(pool.reuse_port);
  EXPECT_EQ(pool.worker.access_log, "-");
  EXPECT_TRUE(pool.worker.log_json);
  EXPECT_EQ(pool.spec.restart_intensity, 3U);
  EXPECT_EQ(pool.spec.restart_window, seconds(4));
  EXPECT_EQ(pool.spec.boot_timeout, seconds(11));
  EXPECT_EQ(pool.worker.body_min_rate, 12U);
  EXPECT_EQ(pool.spec.max_memory, 1U << 20U);
  EXPECT_EQ(pool.worker.worker_connections, 13U);
}

TEST_F(AssembleTest, TheProxyProtocolsVersionsHaveNames) {
  const auto mode = [this](const std::string& value) {
    return pool({"--proxy-protocol", value, "app"}).worker.proxy_protocol;
  };
  EXPECT_EQ(pool({"app"}).worker.proxy_protocol, base::ProxyProtocol::kOff);
  EXPECT_EQ(mode("off"), base::ProxyProtocol::kOff);
  EXPECT_EQ(mode("v1"), base::ProxyProtocol::kV1);
  EXPECT_EQ(mode("v2"), base::ProxyProtocol::kV2);
  EXPECT_EQ(mode("auto"), base::ProxyProtocol::kAuto);
  EXPECT_THAT(pool({"--proxy-allow-from", "10.0.0.0/8,::1", "app"}).worker.proxy_allow_ips,
              ElementsAre("10.0.0.0/8", "::1"));
  EXPECT_THAT(error({"--proxy-protocol", "v3", "app"}), testing::HasSubstr("off, v1, v2 or auto"));
}

TEST_F(AssembleTest, SyncWithThreadsIsGthread) {
  EXPECT_EQ(pool({"--threads", "2", "app"}).worker.worker_class, base::WorkerClass::kThreads);
  EXPECT_EQ(pool({"-k", "sync", "--threads", "1", "app"}).worker.worker_class,
            base::WorkerClass::kSync);
}

TEST_F(AssembleTest, ClientTimeLimitsFollowTimeout) {
  const PoolSettings settings = pool({"-t", "5", "--body-timeout", "3", "app"});
  EXPECT_EQ(settings.worker.header_timeout, seconds(5));
  EXPECT_EQ(settings.worker.body_timeout, seconds(3));
  EXPECT_EQ(shown(settings.effective, "header_timeout"), "5 from default");
}

TEST_F(AssembleTest, NoApplicationIsAnErrorWithTheRemedy) {
  EXPECT_EQ(error({}),
            "No application module specified. Name it on the command line, as in: arbiterd "
            "module:callable; or as wsgi_app in a configuration file.");
}

TEST_F(AssembleTest, DirectoriesExistAndAreAbsolute) {
  make_directory("srv/lib");
  make_directory("spill");
  const PoolSettings settings =
      pool({"--chdir", "srv", "--pythonpath", "lib,/opt/x", "--access-logfile", "a.log", "app"});
  EXPECT_EQ(settings.worker.working_directory, directory_ + "/srv");
  // sys.path.insert(0, ...) for one after the other, as gunicorn does
  EXPECT_THAT(settings.worker.python_path, ElementsAre("/opt/x", directory_ + "/srv/lib"));
  EXPECT_EQ(settings.worker.access_log, directory_ + "/srv/a.log");
  EXPECT_EQ(error({"--chdir", "none", "app"}),
            "command line: --chdir \"none\": there is no such directory");
  write("corn.toml", "[pool.web]\ntmp_upload_dir = 'spill'\n");
  EXPECT_EQ(pool({"app"}).worker.upload_directory, directory_ + "/spill");
  write("corn.toml", "[pool.web]\ntmp_upload_dir = 'none'\n");
  EXPECT_EQ(error({"app"}), "corn.toml:2: tmp_upload_dir = \"none\": there is no such directory");
}

TEST_F(AssembleTest, SpilledBodiesGoToTheTemporaryDirectory) {
  environment_["TMPDIR"] = "/var/tmp";
  EXPECT_EQ(pool({"app"}).worker.upload_directory, "/var/tmp");
}

TEST_F(AssembleTest, AVirtualEnvironmentIsOne) {
  make_directory("venv");
  make_directory("empty");
  write("venv/pyvenv.cfg", "");
  EXPECT_EQ(pool({"--venv", "venv", "app"}).worker.virtual_env, directory_ + "/venv");
  EXPECT_THAT(error({"--venv", "empty", "app"}),
              HasSubstr("command line: --venv \"empty\": this is no virtual environment"));
  environment_["VIRTUAL_ENV"] = directory_ + "/venv";
  EXPECT_EQ(pool({"app"}).worker.virtual_env, directory_ + "/venv");
  EXPECT_EQ(pool({"--venv=", "app"}).worker.virtual_env, "");
  environment_["VIRTUAL_ENV"] = "/none";
  EXPECT_THAT(error({"app"}), HasSubstr("environment variable VIRTUAL_ENV: venv = \"/none\": "));
}

TEST_F(AssembleTest, SocketPathsAreAbsoluteAndFit) {
  EXPECT_THAT(pool({"-b", "unix:a.sock", "app"}).binds,
              ElementsAre("unix:" + directory_ + "/a.sock"));
  EXPECT_THAT(pool({"-b", "unix:///run/a.sock", "app"}).binds, ElementsAre("unix:/run/a.sock"));
  EXPECT_THAT(pool({"-b", "unix:@abstract", "app"}).binds, ElementsAre("unix:@abstract"));
  EXPECT_EQ(good({"--control", "unix:c.sock", "app"}).arbiter.control,
            "unix:" + directory_ + "/c.sock");
  const std::string path = "unix:/" + std::string(107, 'x');
  EXPECT_THAT(error({"-b", path, "app"}),
              HasSubstr("the socket's path has 108 bytes; at most 107 are possible"));
  EXPECT_THAT(error({"--control", path, "app"}),
              HasSubstr("the socket's path has 108 bytes; at most 107 are possible"));
}

TEST_F(AssembleTest, TheWorkerProgramCanBeExecuted) {
  EXPECT_THAT(error({"--workerd", "none", "app"}),
              HasSubstr("there is no program that can be executed"));
  EXPECT_EQ(good({"--workerd", "/bin/sh", "app"}).arbiter.workerd, "/bin/sh");
}

TEST_F(AssembleTest, EveryPoolSettingIsShownOnce) {
  const Settings settings = good({"app"});
  const std::string text = print_config(settings);
  EXPECT_THAT(text, testing::StartsWith("[arbiter]\n"));
  EXPECT_THAT(text, HasSubstr("\n[pool.default]\n"));
  EXPECT_THAT(text, testing::ContainsRegex("workers = 1 +# default\n"));
  EXPECT_THAT(text, testing::ContainsRegex("wsgi_app = \"app\" +# command line\n"));
}

}  // namespace
}  // namespace corn::config
