// SPDX-License-Identifier: Apache-2.0
// What the commands print, and how they end.
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <future>
#include <sstream>
#include <utility>
#include <variant>

#include "cornctl_fixture.h"

namespace corn::ctl {
namespace {

using core::ReplyCode;

class OutputTest : public CornctlTest {
 protected:
  void SetUp() override {
    start();
    environment_["CORN_CONTROL"] = address();
  }

  void reply_with(driver::CommandOutcome outcome) {
    door_.run([this, outcome] {
      door_.on_command = [this, outcome](const core::Command& command,
                                         const driver::CommandCallbacks& callbacks) {
        command_ = command;
        callbacks.done(outcome);
      };
    });
  }

  static void expect_80_columns(const std::string& text) {
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      const auto columns = std::ranges::count_if(
          line, [](char byte) { return (static_cast<unsigned char>(byte) & 0xc0U) != 0x80U; });
      EXPECT_LE(columns, 80) << line;
    }
  }

  // `script` gets `text` on standard input as `d`, the parsed document, or `l`, a list of those of
  // each line; true if all its assertions hold.
  static void expect_json(const std::string& text, const std::string& script) {
    const std::string program =
        "import json,sys\nt=sys.stdin.read()\nl=[json.loads(x) for x in t.splitlines()]\nd=l[0]\n" +
        script;
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      ::dup2(ends[0], STDIN_FILENO);
      ::close(ends[1]);
      ::execl("/usr/bin/python3", "python3", "-c", program.c_str(), nullptr);
      ::_exit(127);
    }
    ::close(ends[0]);
    EXPECT_EQ(::write(ends[1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
    ::close(ends[1]);
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(status, 0) << text;
  }

  core::Command command_;  // the last one; read after cornctl has ended
};

TEST_F(OutputTest, StatusIsATable) {
  const Ended run = cornctl({"status"});
  EXPECT_EQ(run.status, 0) << run.err;
  EXPECT_EQ(run.out,
            R"(hello  SERVING  pid 100  up 1d02h  2 reloads  corn 0.1.0

pool default  SERVING  wsgi_test:application (sync)
  listening at 127.0.0.1:8000 (3 of 2048 waiting)
  2 of 2 workers ready  generation 3
  123456 requests  7 errors  1 restart  latency p50 1.2 ms, p99 48 ms
  PID  STATE  GEN    AGE  REQUESTS  IN  BUSY  RSS  LAST EVENT
  101  READY    3  1h02m     60000   0    0%  44M  ready
  102  BUSY     3  1h02m     60000   1   37%  44M  ready
)");
}

TEST_F(OutputTest, StatusFits80ColumnsWhateverIsInIt) {
  door_.run([this] {
    driver::PoolStatus& pool = door_.status.pools[0];
    door_.status.arbiter.instance = std::string(200, 'i');
    pool.name = "p\u00e4" + std::string(100, 'p');
    pool.application = std::string(200, 'a');
    pool.listeners.assign(9, {"[2001:db8::1234:5678]:65535", 2048, 2048});
    pool.requests_total = pool.errors_total = pool.restarts_total = ~0ULL;
    driver::WorkerStatus& worker = pool.workers[0];
    worker.pid = 4194304;
    worker.state = driver::ShownState::kDraining;
    worker.generation = 1'000'000;
    worker.age_seconds = 1e8;
    worker.requests = ~0ULL;
    worker.in_flight = 100'000;
    worker.busy = 1;
    worker.rss_bytes = 999ULL << 30U;
    worker.last_event = std::string(200, 'e') + "\nmore";
  });
  const Ended run = cornctl({"status"});
  EXPECT_EQ(run.status, 0) << run.err;
  expect_80_columns(run.out);
}

TEST_F(OutputTest, ForeignTextCannotSteerTheTerminal) {
  door_.run([this] { door_.status.pools[0].workers[0].last_event = "\033]0;owned\a"; });
  const Ended run = cornctl({"status"});
  EXPECT_EQ(run.out.find('\033'), std::string::npos);
  EXPECT_NE(run.out.find("\\x1b]0;owned\\x07"), std::string::npos);
}

TEST_F(OutputTest, StatusAsJsonHasTheNamesScriptsRelyOn) {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"--json", "status"}, {"status", "--json"}}) {
    const Ended run = cornctl(arguments);
    EXPECT_EQ(run.status, 0);
    expect_json(run.out, R"(
assert len(l) == 1
a = d['arbiter']
assert (a['pid'], a['version'], a['instance'], a['state']) == (100, '0.1.0', 'hello', 'SERVING')
assert a['startedAt'] == '2026-01-31T05:00:00.250Z' and a['uptimeSeconds'] == 93784
assert (a['reloads'], a['upgrades']) == ('2', '0')
p = d['pools'][0]
assert (p['name'], p['state']) == ('default', 'SERVING')
assert (p['target'], p['ready'], p['generation']) == (2, 2, '3')
assert p['listeners'][0]['address'] == '127.0.0.1:8000'
assert (p['requestsTotal'], p['errorsTotal'], p['restartsTotal']) == ('123456', '7', '1')
assert (p['latencyP50Ms'], p['latencyP99Ms']) == (1.25, 48)
w = p['workers'][1]
assert (w['pid'], w['state'], w['generation'], w['ageSeconds']) == (102, 'BUSY', '3', 3725)
assert (w['requests'], w['inFlight'], w['busy'], w['rssBytes']) == ('60000', 1, 0.37, '46137344')
assert p['workers'][0]['inFlight'] == 0 and p['mixed'] is False
)");
  }
}

TEST_F(OutputTest, StatusOfAnUnknownPoolFails) {
  const Ended run = cornctl({"status", "nope"});
  EXPECT_EQ(run.status, 1);
  EXPECT_EQ(run.out, "");
  EXPECT_EQ(run.err,
            "cornctl: there is no pool 'nope'; cornctl status shows the pools there are\n");
}

TEST_F(OutputTest, ReloadShowsProgressBesideTheResult) {
  door_.run([this] {
    door_.on_command = [](const core::Command&, const driver::CommandCallbacks& callbacks) {
      callbacks.progress({{}, "1 of 2 new workers ready", 1, 2});
      callbacks.done({ReplyCode::kDone, "reloaded: generation 4", 0, 0});
    };
  });
  const Ended run = cornctl({"reload"});
  EXPECT_EQ(run.status, 0);
  EXPECT_EQ(run.out, "reloaded: generation 4\n");
  EXPECT_EQ(run.err, "1 of 2 new workers ready\n");
  const Ended json = cornctl({"reload", "--json"});
  expect_json(json.out, "assert [x['state'] for x in l] == ['RUNNING', 'SUCCEEDED']");
}

TEST_F(OutputTest, FailedReloadPrintsTheWholeTraceback) {
  std::string traceback = "the new code cannot boot\nTraceback (most recent call last):\n";
  for (int i = 0; i < 500; ++i) traceback += "  File \"app.py\", line 1, in <module>\n";
  traceback += "ModuleNotFoundError: No module named 'nope'";
  reply_with({ReplyCode::kFailedPrecondition, traceback, 0, 0});
  const Ended run = cornctl({"reload"});
  EXPECT_EQ(run.status, 1);
  EXPECT_EQ(run.out, "");
  EXPECT_EQ(run.err, "cornctl: " + traceback + "\n");
}

TEST_F(OutputTest, ScalePrintsBeforeAndAfter) {
  reply_with({ReplyCode::kDone, "", 2, 4});
  const Ended run = cornctl({"scale", "+2"});
  EXPECT_EQ(run.status, 0) << run.err;
  EXPECT_EQ(run.out, "2 -> 4\n");
  expect_json(cornctl({"scale", "+2", "--json"}).out,
              "assert d == {'before': 2, 'after': 4, 'text': ''}");
}

TEST_F(OutputTest, ScaleUnderstandsEveryForm) {
  reply_with({});
  const auto expect = [&](const std::vector<std::string>& arguments, const std::string& pool,
                          bool relative, int amount) {
    const Ended run = cornctl(arguments);
    EXPECT_EQ(run.status, 0) << run.err;
    const auto& command = std::get<core::ScaleCommand>(command_);
    EXPECT_EQ(command.pool, pool);
    EXPECT_EQ(command.relative, relative);
    EXPECT_EQ(command.amount, amount);
  };
  expect({"scale", "+2"}, "", true, 2);
  expect({"scale", "-1"}, "", true, -1);
  expect({"scale", "4"}, "", false, 4);
  expect({"scale", "web", "-3"}, "web", true, -3);
  expect({"scale", "reload", "+1"}, "reload", true, 1);  // a pool may have a command's name
  expect({"scale", "-3", "--timeout", "5", "--json"}, "", true, -3);
  expect({"--timeout", "5", "scale", "web", "7", "--no-wait"}, "web", false, 7);
}

TEST_F(OutputTest, ScaleWithoutWaitingReturnsWhenAccepted) {
  door_.run([this] {
    door_.on_command = [](const core::Command&, const driver::CommandCallbacks& callbacks) {
      callbacks.accepted({{}, 2, 9});
    };
  });
  EXPECT_EQ(cornctl({"scale", "--no-wait", "9"}).out, "2 -> 9\n");
}

TEST_F(OutputTest, RestartAndKillNameTheWorkerAndTheManner) {
  std::pair<pid_t, bool> asked;
  door_.run([&] {
    door_.on_stop_worker = [&](pid_t pid, bool now, const driver::CommandCallbacks& callbacks) {
      asked = {pid, now};
      callbacks.done({});
    };
  });
  EXPECT_EQ(cornctl({"restart", "101"}).out, "worker 101 replaced\n");
  EXPECT_EQ(asked, std::pair(101, false));
  EXPECT_EQ(cornctl({"kill", "102"}).status, 0);
  EXPECT_EQ(asked, std::pair(102, true));
}

TEST_F(OutputTest, ADumpIsALineAndAStackForEachThread) {
  door_.run([this] {
    door_.on_dump_worker = [](pid_t pid) {
      driver::ThreadDump busy;
      busy.thread_id = 102;
      busy.name = "workerd\n\x1b[2J";
      busy.state = 'D';
      busy.wait_channel = "nfs_wait";
      busy.python_stack = "  File \"a.py\", line 3 in f";
      busy.request = driver::RequestStatus{102, "GET", "/report", std::chrono::milliseconds(1500)};
      driver::ThreadDump idle;
      idle.thread_id = 103;
      idle.name = "corn-app-1";
      idle.state = 'S';
      idle.last_request = driver::RequestStatus{103, "PUT", "/last", {}};
      return driver::WorkerDump{core::ReplyCode::kDone, "it sleeps", pid, {busy, idle}};
    };
  });
  EXPECT_EQ(cornctl({"dump", "102"}).out,
            "worker 102: it sleeps\n"
            "thread 102 workerd \\x1b[2J (D nfs_wait): GET /report for 1.5 s\n"
            "  File \"a.py\", line 3 in f\n"
            "thread 103 corn-app-1 (S): idle, last PUT /last\n");
  expect_json(cornctl({"--json", "dump", "102"}).out,
              "assert d['threads'][0]['request']['target'] == '/report'");
}

TEST_F(OutputTest, ReopenLogsAndShutdown) {
  reply_with({});
  EXPECT_EQ(cornctl({"reopen-logs"}).out, "log files are opened anew\n");
  EXPECT_TRUE(std::holds_alternative<core::ReopenLogsCommand>(command_));
  EXPECT_EQ(cornctl({"shutdown"}).status, 0);
  EXPECT_FALSE(std::get<core::ShutdownCommand>(command_).quick);
  EXPECT_EQ(cornctl({"shutdown", "--quick"}).status, 0);
  EXPECT_TRUE(std::get<core::ShutdownCommand>(command_).quick);
  expect_json(cornctl({"shutdown", "--json"}).out, "assert d == {}");
}

TEST_F(OutputTest, EventsAreALineEach) {
  const auto time = std::chrono::sys_days(std::chrono::January / 31 / 2026) +
                    std::chrono::hours(5) + std::chrono::seconds(33);
  door_.run([&] {
    core::Record crashed;
    crashed.kind = core::RecordKind::kWorkerExited;
    crashed.pool = "default";
    crashed.pid = 4711;
    crashed.cause = core::Cause::kCrashed;
    crashed.exit = core::ExitStatus{.known = true, .code = 0, .signal = 11, .core_dumped = false};
    crashed.text = "killed by signal SEGV while in GET /report which has a long name";
    door_.publish(crashed, time);
    core::Record failed;
    failed.kind = core::RecordKind::kReloadFailed;
    failed.text = "cannot boot\nTraceback (most recent call last):\n  boom\n";
    door_.publish(failed, time);
  });
  EXPECT_EQ(cornctl({"events"}).out,
            "    1  01-31 05:00:33  worker exited        4711  crashed(SEGV): killed by sign…\n"
            "    2  01-31 05:00:33  reload failed              cannot boot…\n");
  expect_80_columns(cornctl({"events"}).out);
  EXPECT_EQ(cornctl({"events", "--whole", "-n", "1"}).out,
            "    2  01-31 05:00:33  reload failed              cannot boot\n"
            "        Traceback (most recent call last):\n"
            "          boom\n");
  EXPECT_EQ(cornctl({"events", "--after", "2"}).out, "");
  expect_json(cornctl({"events", "--json"}).out, R"(
assert [x['sequence'] for x in l] == ['1', '2']
assert (d['kind'], d['cause'], d['exit']['signal']) == ('WORKER_EXITED', 'crashed(SEGV)', 'SEGV')
assert d['time'] == '2026-01-31T05:00:33Z'
)");
}

TEST_F(OutputTest, EventsFollowToTheEndOfTheArbiter) {
  auto following = std::async(std::launch::async, [this] { return cornctl({"events", "-f"}); });
  std::size_t subscribers = 0;
  while (subscribers == 0) door_.run([&] { subscribers = door_.subscribers(); });
  door_.run([this] {
    door_.publish({});
    door_.end_subscriptions();
  });
  const Ended run = following.get();
  EXPECT_EQ(run.status, 1);
  EXPECT_NE(run.out.find("worker spawned"), std::string::npos);
  EXPECT_EQ(run.err, "cornctl: shutting down\n");
}

TEST_F(OutputTest, ConfigShowNamesOrigins) {
  door_.run([this] {
    door_.settings = {{"", "daemon", "false", "default"},
                      {"default", "workers", "4", "corn.toml:7"},
                      {"default", "timeout", "30", "default"}};
  });
  EXPECT_EQ(cornctl({"config", "show"}).out, R"([arbiter]
SETTING  VALUE  FROM
daemon   false  default

[pool.default]
SETTING  VALUE  FROM
workers  4      corn.toml:7
timeout  30     default
)");
  EXPECT_EQ(cornctl({"config", "show", "--changed"}).out, R"([pool.default]
SETTING  VALUE  FROM
workers  4      corn.toml:7
)");
}

TEST_F(OutputTest, ConfigCheckPassesTheAbsolutePathAndTellsMistakes) {
  std::string checked;
  door_.run([&] {
    door_.on_check_config = [&](const std::string& file, bool) {
      checked = file;
      return driver::CommandOutcome{ReplyCode::kInvalidArgument, file + ":7: workers: no", 0, 0};
    };
  });
  const std::string expected = std::filesystem::current_path().string() + "/corn.toml";
  const Ended run = cornctl({"config", "check", "corn.toml"});
  EXPECT_EQ(run.status, 1);
  EXPECT_EQ(checked, expected);
  EXPECT_EQ(run.err, "cornctl: " + expected + ":7: workers: no\n");
  const Ended json = cornctl({"config", "check", "corn.toml", "--json"});
  EXPECT_EQ(json.status, 1);
  EXPECT_EQ(json.err, "");
  expect_json(json.out, "assert d['valid'] is False");
  door_.run([&] {
    door_.on_check_config = [](const std::string&, bool) { return driver::CommandOutcome{}; };
  });
  EXPECT_EQ(cornctl({"config", "check", "corn.toml"}).out, "corn.toml is valid\n");
}

TEST_F(OutputTest, TimeLimitIsStatus4) {
  door_.run(
      [this] { door_.on_command = [](const core::Command&, const driver::CommandCallbacks&) {}; });
  const Ended run = cornctl({"--timeout", "0.2", "scale", "3"});
  EXPECT_EQ(run.status, 4);
  EXPECT_NE(run.err.find("no answer within 0.2 s"), std::string::npos) << run.err;
}

TEST_F(OutputTest, WhatComesLaterIsRefusedInASentence) {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"top"}, {"logs", "-f", "web"}}) {
    const Ended run = cornctl(arguments);
    EXPECT_EQ(run.status, 1) << arguments[0];
    EXPECT_NE(run.err.find("not in this version of Corn"), std::string::npos) << run.err;
  }
}

TEST_F(OutputTest, FullDiskIsNotSuccess) {
  environment_["CORN_CONTROL"] = address();
  // A pipe whose reader is gone would end the program by signal; a full device is an error.
  const Ended run = cornctl({"status"});
  ASSERT_EQ(run.status, 0);
  const std::string command = "exec " CORN_BINARY_DIR "/bin/cornctl --control " + address() +
                              " status > /dev/full 2> /dev/null";
  const int status = std::system(command.c_str());
  EXPECT_EQ(WEXITSTATUS(status), 1);
}

}  // namespace
}  // namespace corn::ctl
