// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/config/check.h"

#include <gtest/gtest.h>

#include <limits>

namespace corn::config {
namespace {

RawValue text(const std::string& value) { return RawValue{value}; }
RawValue number(std::int64_t value) { return RawValue{value}; }
RawValue fraction(double value) { return RawValue{value}; }

// The value as TOML, or the complaint.
std::string checked(const std::string& name, const RawValue& raw) {
  const Setting& setting = *find_setting(name);
  const base::Result<Value> value = check(setting, raw);
  return value ? to_toml(setting.kind, *value) : "! " + value.error().message;
}

constexpr const char* kNotAWorkerCount = "! a whole number from 1 to 1000 is wanted";

TEST(Check, WholeNumbersAreReadAsPythonReadsThem) {
  EXPECT_EQ(checked("workers", text("4")), "4");
  EXPECT_EQ(checked("workers", text(" 0x10 ")), "16");
  EXPECT_EQ(checked("workers", text("0o17")), "15");
  EXPECT_EQ(checked("workers", text("0b11")), "3");
  EXPECT_EQ(checked("workers", text("+3")), "3");
  EXPECT_EQ(checked("workers", number(1000)), "1000");
}

TEST(Check, WholeNumbersStayInTheirRange) {
  for (const char* bad :
       {"0", "1001", "-1", "many", "", "2.5", "4 ", "0x", "1e3", "99999999999999999999", "0x-2"}) {
    const std::string expected = std::string(bad) == "4 " ? "4" : kNotAWorkerCount;
    EXPECT_EQ(checked("workers", text(bad)), expected) << bad;
  }
  EXPECT_EQ(checked("workers", number(0)), kNotAWorkerCount);
  EXPECT_EQ(checked("workers", fraction(2)), "2");
  EXPECT_EQ(checked("workers", fraction(2.5)), kNotAWorkerCount);
  EXPECT_EQ(checked("workers", RawValue{true}), kNotAWorkerCount);
  EXPECT_EQ(checked("workers", RawValue{RawValue::List{number(1)}}), kNotAWorkerCount);
  EXPECT_EQ(checked("workers", RawValue{RawValue::Opaque{"function"}}), kNotAWorkerCount);
}

TEST(Check, SecondsMayHaveFractions) {
  EXPECT_EQ(checked("timeout", text("30")), "30");
  EXPECT_EQ(checked("timeout", text("0.5")), "0.5");
  EXPECT_EQ(checked("timeout", fraction(2.25)), "2.25");
  EXPECT_EQ(checked("timeout", number(0)), "0");
  EXPECT_EQ(checked("timeout", fraction(0.3)), "0.3");
}

TEST(Check, AVeryShortTimeIsNotNoLimit) { EXPECT_EQ(checked("timeout", text("0.00001")), "0.001"); }

TEST(Check, SecondsRefuseWhatIsNoDuration) {
  const std::string refusal = "! a number of seconds from 0 to 100000000 is wanted";
  for (const char* bad : {"-1", "nan", "inf", "1m", "1e3", "", "0x10", "100000001"}) {
    EXPECT_EQ(checked("timeout", text(bad)), refusal) << bad;
  }
  EXPECT_EQ(checked("timeout", fraction(std::numeric_limits<double>::quiet_NaN())), refusal);
  EXPECT_EQ(checked("timeout", fraction(std::numeric_limits<double>::infinity())), refusal);
}

TEST(Check, SizesHaveUnits) {
  EXPECT_EQ(checked("max_memory", text("512M")), "536870912");
  EXPECT_EQ(checked("max_memory", text("1.5 gib")), "1610612736");
  EXPECT_EQ(checked("max_memory", text("2kB")), "2048");
  EXPECT_EQ(checked("max_memory", text("1T")), "1099511627776");
  EXPECT_EQ(checked("max_memory", text("100")), "100");
  EXPECT_EQ(checked("max_memory", number(100)), "100");
  for (const char* bad : {"", "M", "1X", "-1M", "1.5", "b", "ib", "99999999T", "1 0M"}) {
    EXPECT_EQ(checked("max_memory", text(bad)),
              "! a size in bytes, or with K, M, G or T such as 512M, is wanted")
        << bad;
  }
}

TEST(Check, AMaskWrittenAsTextIsOctalBeyondDoubt) {
  EXPECT_EQ(checked("umask", text("022")), "0o022");
  EXPECT_EQ(checked("umask", text("0o77")), "0o077");
  EXPECT_EQ(checked("umask", text("0")), "0o000");
  EXPECT_EQ(checked("umask", number(18)), "0o022");
  for (const char* bad : {"22", "0o1000", "09", "-022", "0x12"}) {
    EXPECT_EQ(checked("umask", text(bad)),
              "! a file mode mask from 0 to 0777, in octal with a leading 0 such as 022, is wanted")
        << bad;
  }
}

TEST(Check, SwitchesAreTrueOrFalseAsInGunicorn) {
  EXPECT_EQ(checked("daemon", RawValue{true}), "true");
  EXPECT_EQ(checked("daemon", text("True")), "true");
  EXPECT_EQ(checked("daemon", text("false")), "false");
  EXPECT_EQ(checked("daemon", text("yes")), "! true or false is wanted");
  EXPECT_EQ(checked("daemon", number(1)), "! true or false is wanted");
}

TEST(Check, ChoicesIgnoreLetterCase) {
  EXPECT_EQ(checked("loglevel", text("WARNING")), "\"warning\"");
  EXPECT_EQ(checked("loglevel", text("warn")), "\"warning\"");
  EXPECT_EQ(checked("loglevel", text("loud")),
            "! debug, info, warning, error or critical is wanted");
}

TEST(Check, TextIsOneLine) {
  EXPECT_EQ(checked("proc_name", text(" shop ")), "\"shop\"");
  EXPECT_EQ(checked("proc_name", text("a\nb")), "! a line of text is wanted");
  EXPECT_EQ(checked("proc_name", text(std::string("a\0b", 3))), "! a line of text is wanted");
  EXPECT_EQ(checked("proc_name", number(3)), "! a line of text is wanted");
}

TEST(Check, AnEmptyTextUnsets) { EXPECT_EQ(checked("pidfile", text("")), "\"\""); }

TEST(Check, ListsComeFromTextsAndLists) {
  EXPECT_EQ(checked("bind", text("a:1, b:2,")), R"(["a:1", "b:2"])");
  EXPECT_EQ(checked("bind", RawValue{RawValue::List{text("a:1,b:2"), text("[::1]:3")}}),
            R"(["a:1", "b:2", "[::1]:3"])");
  EXPECT_EQ(checked("raw_env", text("A=b,c")), R"(["A=b,c"])");
  EXPECT_EQ(checked("raw_env", RawValue{RawValue::List{number(1)}}),
            "! NAME=VALUE, or a list of such texts, is wanted");
}

TEST(Check, AddressesToListenOnHaveGunicornsForms) {
  for (const char* good :
       {"127.0.0.1:8000", "localhost", ":8000", "[::1]:80", "[::1]", "[fe80::1%eth0]:80", "unix:a",
        "unix:/run/a.sock", "unix:@name", "fd://3", "tcp://127.0.0.1:80", "0.0.0.0:0"}) {
    EXPECT_EQ(checked("bind", text(good)).substr(0, 1), "[") << good;
  }
  for (const char* bad : {"", "a:b", "a:65536", "a:-1", "a:", "unix:", "fd://x", "fd://-1",
                          "[::1:80", "[::1]x", "[nonsense]:80", "http://a:80", "a b:1"}) {
    EXPECT_EQ(checked("bind", text(bad)).substr(0, 1), "!") << bad;
  }
  EXPECT_EQ(checked("bind", text("::1:8000")),
            "! an IPv6 address stands in brackets, as in [::1]:8000");
}

TEST(Check, NetworksHaveNoHostBits) {
  for (const char* good : {"*", "10.0.0.0/8", "10.1.2.3", "::1", "fd00::/8", "0.0.0.0/0", ""}) {
    EXPECT_EQ(checked("forwarded_allow_ips", text(good)).substr(0, 1), "[") << good;
  }
  EXPECT_EQ(checked("forwarded_allow_ips", text("192.168.1.1/24")),
            "! \"192.168.1.1/24\" has bits set beyond its prefix of 24; write the network's own "
            "address");
  for (const char* bad : {"proxy", "10.0.0.0/33", "10.0.0/8", "::/129", "10.0.0.0/", "fd00::1/8"}) {
    EXPECT_EQ(checked("forwarded_allow_ips", text(bad)).substr(0, 1), "!") << bad;
  }
}

TEST(Check, EnvironmentHasNamesAndValues) {
  EXPECT_EQ(checked("raw_env", text("A=")), R"(["A="])");
  EXPECT_EQ(checked("raw_env", text("=b")), "! \"=b\" is not an assignment; NAME=VALUE is wanted");
  EXPECT_EQ(checked("raw_env", text("A")), "! \"A\" is not an assignment; NAME=VALUE is wanted");
}

TEST(Check, UsersAndGroupsExist) {
  EXPECT_EQ(checked("user", text("root")), "\"root\"");
  EXPECT_EQ(checked("user", number(33)), "\"33\"");
  EXPECT_EQ(checked("user", text("4294967295")), "! a user number is at most 4294967294");
  EXPECT_EQ(checked("user", number(-1)), "! the name or number of a user is wanted");
  EXPECT_EQ(checked("user", text("no-such-user-here")),
            "! this machine has no user of that name; the name or number of a user is wanted");
  EXPECT_EQ(checked("group", text("root")), "\"root\"");
  EXPECT_EQ(checked("group", text("no-such-group-here")),
            "! this machine has no group of that name; the name or number of a group is wanted");
}

TEST(Check, TablesNameHeaders) {
  const RawValue table{RawValue::Table{{"X-Proto", text("https")}}};
  EXPECT_EQ(checked("secure_scheme_headers", table), R"({ "X-Proto" = "https" })");
  EXPECT_EQ(checked("secure_scheme_headers", RawValue{RawValue::Table{{"X Proto", text("a")}}}),
            "! \"X Proto\" is not a header's name");
  EXPECT_EQ(checked("secure_scheme_headers", RawValue{RawValue::Table{{"X", number(1)}}}),
            "! a table of header names and the values that mean https is wanted");
}

TEST(Check, SurgeIsAPercentageOrACount) {
  EXPECT_EQ(checked("reload_surge", text("25 %")), "\"25%\"");
  EXPECT_EQ(checked("reload_surge", text("2")), "\"2\"");
  EXPECT_EQ(checked("reload_surge", number(2)), "\"2\"");
  for (const char* bad : {"0%", "101%", "0", "1001", "half", "%", ""}) {
    EXPECT_EQ(checked("reload_surge", text(bad)),
              "! a percentage from 1% to 100%, or a count from 1 to 1000, is wanted")
        << bad;
  }
}

TEST(Check, WorkerClassesHaveGunicornsNames) {
  for (const char* good :
       {"sync", "gthread", "gunicorn.workers.sync.SyncWorker", "egg:gunicorn#gthread",
        "gunicorn.workers.gthread.ThreadWorker", "asgi", "gunicorn.workers.gasgi.ASGIWorker",
        "uvicorn.workers.UvicornWorker", "uvicorn.workers.UvicornH11Worker", "gevent",
        "gevent_wsgi", "gevent_pywsgi", "gunicorn.workers.ggevent.GeventWorker",
        "gunicorn.workers.ggevent.GeventPyWSGIWorker"}) {
    EXPECT_EQ(checked("worker_class", text(good)).substr(0, 1), "\"") << good;
  }
  EXPECT_EQ(checked("worker_class", text("eventlet")),
            "! this class is not implemented in this version of Corn; use gevent, or gthread with "
            "--threads");
  EXPECT_EQ(checked("worker_class", text("mine")), "! sync, gthread, gevent or asgi is wanted");
  EXPECT_TRUE(checked("worker_class", text("mine.Worker"))
                  .starts_with("! worker classes of one's own are not run"));
  EXPECT_EQ(checked("worker_class", RawValue{RawValue::Opaque{"type"}}),
            "! sync, gthread, gevent or asgi is wanted");
}

TEST(Check, ApplicationsAreModules) {
  for (const char* good : {"a", "a.b:c", "a:create_app()", "a:create_app('x/y', n=1)"}) {
    EXPECT_EQ(checked("wsgi_app", text(good)).substr(0, 1), "\"") << good;
  }
  for (const char* bad : {"app.py", "./app", "src/app:application", ":app", "lib/libapp.so:main"}) {
    EXPECT_EQ(checked("wsgi_app", text(bad)).substr(0, 1), "!") << bad;
  }
}

TEST(Check, ControlIsAUnixSocket) {
  EXPECT_EQ(checked("control", text("unix:/run/c.sock")), "\"unix:/run/c.sock\"");
  EXPECT_EQ(checked("control", text("/run/c.sock")), "! unix:PATH is wanted");
  EXPECT_EQ(checked("control", text("127.0.0.1:7000")),
            "! control over TCP is not implemented in this version of Corn; unix:PATH is wanted");
}

}  // namespace
}  // namespace corn::config
