// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/config/schema.h"
#include "fixture.h"

namespace corn::config {
namespace {

using RefusalTest = ConfigTest;
using testing::HasSubstr;
using testing::StartsWith;

TEST_F(RefusalTest, WhatIsNotImplementedIsRefusedByNameWithTheReason) {
  EXPECT_EQ(error({"--certfile", "x.pem", "app"}),
            "command line: --certfile \"x.pem\": refused: TLS is not implemented in this version "
            "of Corn; let a proxy such as nginx or HAProxy end it");
  EXPECT_THAT(error({"--admin", ":9000", "app"}), StartsWith("command line: --admin \":9000\": "));
  EXPECT_THAT(error({"--dbus", "session", "app"}), HasSubstr("D-Bus"));
}

TEST_F(RefusalTest, EveryRefusedOptionIsRefused) {
  for (const Setting& setting : schema()) {
    if (setting.support != Support::kRefused || setting.flags.empty()) continue;
    Arguments arguments{std::string(long_flag(setting))};
    if (setting.kind != Kind::kSwitch) arguments.emplace_back("7");
    arguments.emplace_back("app");
    // A flag may set what is the default anyway.
    if (setting.name == "suppress_ragged_eofs") continue;
    EXPECT_THAT(error(arguments), HasSubstr("refused: " + std::string(setting.reason)))
        << setting.name;
  }
}

TEST_F(RefusalTest, AskingForTheDefaultIsAskingForNothing) {
  write("gunicorn.conf.py", "");
  python("preload_app", "false", 1);
  python("reload", "false", 2);
  python("reload_engine", "\"auto\"", 3);
  python("statsd_host", "null", 4);
  python("statsd_prefix", "\"\"", 5);
  python("logconfig_dict", "{}", 6);
  python("raw_paste_global_conf", "[]", 7);
  python("http_protocols", "\"h1\"", 8);
  python("cert_reqs", "0", 9);
  python("ssl_version", "2", 10);
  python("sendfile", "true", 11);
  python("suppress_ragged_eofs", "true", 12);
  python("dirty_workers", "0", 13);
  python("keyfile", "\"\"", 14);
  python("control_socket_mode", "384", 15);
  python("do_handshake_on_connect", "false", 16);
  EXPECT_EQ(pool({"--dbus", "off", "app"}).spec.workers, 1U);
}

TEST_F(RefusalTest, RefusedSettingsAreRefusedInEveryTable) {
  write("corn.toml", "[arbiter]\ndbus = 'system'\n[pool.web]\ndirty_workers = 2\n");
  const std::string message = error({"app"});
  EXPECT_THAT(message, HasSubstr("corn.toml:2: dbus = \"system\": refused: "));
  EXPECT_THAT(message, HasSubstr("corn.toml:4: dirty_workers = 2: refused: "));
}

TEST_F(RefusalTest, WhatHasNoEffectIsNoted) {
  const Settings settings = good({"--worker-tmp-dir", "/dev/shm", "--http-parser", "auto", "app"});
  EXPECT_THAT(settings.notes,
              testing::ElementsAre("command line: worker_tmp_dir has no effect: heartbeats of "
                                   "Corn's workers are in shared memory and need no file"));
  EXPECT_THAT(error({"--http-parser", "slow", "app"}), HasSubstr("auto, fast or python is wanted"));
}

TEST_F(RefusalTest, LimitsBeyondWhatGunicornHasAreTakenForItsMostAndNoted) {
  const Settings settings =
      good({"--limit-request-line", "16384", "--limit-request-fields", "65535", "app"});
  EXPECT_THAT(settings.notes,
              testing::ElementsAre(
                  "command line: limit_request_line is 16384: 8190 is used, which is the most",
                  "command line: limit_request_fields is 65535: 32768 is used, which is the most"));
  const PoolSettings& pool = settings.pools[0];
  EXPECT_EQ(pool.worker.limit_request_line, 8190U);
  EXPECT_EQ(pool.worker.limit_request_fields, 32768U);
  EXPECT_EQ(shown(pool.effective, "limit_request_line"), "8190 from command line");
  const Settings most =
      good({"--limit-request-line", "8190", "--limit-request-fields", "0", "app"});
  EXPECT_THAT(most.notes, testing::IsEmpty());
  EXPECT_EQ(most.pools[0].worker.limit_request_fields, 0U);
}

TEST_F(RefusalTest, NoApplicationIsMissedWhereItMayStandInWhatIsWrong) {
  EXPECT_THAT(error({"--paste", "x.ini"}), testing::Not(HasSubstr("No application module")));
  EXPECT_THAT(error({}), HasSubstr("No application module specified"));
  write("corn.toml", "[pools.web]\nwsgi_app = 'app'\n");
  EXPECT_EQ(error({}),
            "corn.toml:1: pools is not known here; [arbiter] and [pool.NAME] are wanted");
}

TEST_F(RefusalTest, LongNamesAreTaken) {
  const std::string name(300, 'n');
  const Settings settings = good({"--name", name, "app"});
  EXPECT_EQ(settings.arbiter.name, name);
  EXPECT_EQ(settings.arbiter.syslog.tag.size(), std::string("gunicorn.").size() + 200);
}

TEST_F(RefusalTest, InheritedStreamsAndADaemonExcludeEachOther) {
  EXPECT_EQ(good({"-R", "app"}).pools.size(), 1U);
  EXPECT_THAT(error({"-R", "-D", "app"}), HasSubstr("refused with daemon"));
}

}  // namespace
}  // namespace corn::config
