// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/driver/instance_state.h"

#include <gtest/gtest.h>

namespace corn::driver {
namespace {

using std::chrono::seconds;

InstanceState some_state() {
  InstanceState state;
  state.version = "1.2.3";
  state.machine = "f00";
  state.pid = 4711;
  state.started_at = WallTime(seconds(1'700'000'000));
  state.started = base::TimePoint(seconds(77));
  state.upgrades = 3;
  state.last_sequence = 9;
  HistoryEvent event;
  event.sequence = 9;
  event.time = WallTime(seconds(1'700'000'100));
  event.record.kind = core::RecordKind::kWorkerExited;
  event.record.pool = "web";
  event.record.worker = core::WorkerId{5};
  event.record.pid = 100;
  event.record.generation = 2;
  event.record.cause = core::Cause::kCrashed;
  event.record.exit = core::ExitStatus{true, 0, 11, true};
  event.record.exit->cpu_time = std::chrono::milliseconds(7);
  event.record.exit->max_rss_bytes = 1 << 20;
  event.record.exit->request = "GET /x";
  event.record.exit->in_request = true;
  event.record.text = "killed by signal SEGV\nwith \"quotes\"";
  state.history = {event};
  core::InheritedPool pool;
  pool.name = "web";
  pool.configured = 2;
  pool.target = 3;
  pool.generation = 2;
  pool.last_generation = 4;
  pool.last_age = 12;
  pool.restarts = 6;
  pool.dormant = true;
  pool.workers = {
      {core::WorkerId{7}, 200, core::WorkerState::kReady, 2, 11, base::TimePoint(seconds(80)),
       base::TimePoint(seconds(81)), std::nullopt, core::Cause::kMaxRequests},
      {core::WorkerId{8}, 201, core::WorkerState::kDraining, 1, 10, base::TimePoint(seconds(80)),
       std::nullopt, core::Cause::kReloaded, std::nullopt}};
  state.inheritance = {core::WorkerId{8}, 5, true, {pool}};
  state.workers[core::WorkerId{7}] = {123456, 10, 11, 12};
  state.workers[core::WorkerId{8}] = {123457, -1, -1, -1};
  PoolRecord& record = state.pools["web"];
  record.settings = "0123456789abcdef";
  record.totals.requests = 1000;
  record.totals.errors = 2;
  record.totals.latency[3] = 998;
  record.listeners = {{"127.0.0.1:8000", 5555, std::nullopt, 4},
                      {"unix:/run/a.sock", 5556, os::Listener::FileIdentity{8, 99}, 5},
                      {"fd://3", 5557, std::nullopt, 6, true}};
  state.lock = 9;
  state.descriptor_limit = 1024;
  state.instance = "shop";
  state.kept.pid_file = "/run/shop.pid";
  state.kept.effective = {{"pidfile", "\"/run/shop.pid\"", "corn.toml:3"}};
  state.log = 6;
  state.trial = "answer";
  return state;
}

TEST(InstanceState, SurvivesItsText) {
  const InstanceState before = some_state();
  const auto after = read_state(to_text(before));
  ASSERT_TRUE(after) << after.error().message;
  EXPECT_EQ(after->inheritance, before.inheritance);
  EXPECT_EQ(after->started, before.started);
  EXPECT_EQ(after->started_at, before.started_at);
  ASSERT_EQ(after->history.size(), 1U);
  ASSERT_TRUE(after->history[0].record.exit);
  EXPECT_EQ(after->history[0].record.exit->signal, 11);
  EXPECT_EQ(after->history[0].record.exit->cpu_time, std::chrono::milliseconds(7));
  EXPECT_EQ(after->history[0].record.exit->max_rss_bytes, 1U << 20U);
  EXPECT_EQ(after->history[0].record.exit->request, "GET /x");
  EXPECT_TRUE(after->history[0].record.exit->in_request);
  EXPECT_EQ(after->history[0].record.text, before.history[0].record.text);
  EXPECT_EQ(after->workers.at(core::WorkerId{7}).pidfd, 12);
  EXPECT_EQ(after->instance, "shop");
  EXPECT_EQ(after->kept.pid_file, "/run/shop.pid");
  ASSERT_EQ(after->kept.effective.size(), 1U);
  EXPECT_EQ(after->kept.effective[0].origin, "corn.toml:3");
  EXPECT_EQ(after->log, 6);
  EXPECT_EQ(after->trial, "answer");
  EXPECT_EQ(after->pools.at("web").listeners.at(1).file->inode, 99U);
  EXPECT_FALSE(after->pools.at("web").listeners.at(1).activated);
  EXPECT_TRUE(after->pools.at("web").listeners.at(2).activated);
  // Whatever has no line above.
  EXPECT_EQ(to_text(*after), to_text(before));
}

TEST(InstanceState, AYoungerFormatIsRefusedWithTheVersionsNamed) {
  std::string text = to_text(some_state());
  const std::string format = "\"format\":" + std::to_string(kStateFormat);
  text.replace(text.find(format), format.size(), "\"format\":99");
  const auto state = read_state(text);
  ASSERT_FALSE(state);
  EXPECT_NE(state.error().message.find("format 99"), std::string::npos);
  EXPECT_NE(state.error().message.find("version 1.2.3"), std::string::npos);
}

TEST(InstanceState, WhatIsNoStateIsRefused) {
  EXPECT_FALSE(read_state(""));
  EXPECT_FALSE(read_state("{}"));
  EXPECT_FALSE(read_state("[1,2]"));
  const std::string good = to_text(some_state());
  for (std::size_t cut = 1; cut < good.size(); cut += 7) {
    EXPECT_FALSE(read_state(good.substr(0, good.size() - cut)));
  }
}

TEST(InstanceState, NumbersOutOfTheirRangeAreRefused) {
  const std::string good = to_text(some_state());
  for (const auto& [right, wrong] :
       std::vector<std::pair<std::string, std::string>>{{"\"target\":3", "\"target\":0"},
                                                        {"\"target\":3", "\"target\":1001"},
                                                        {"\"pid\":200", "\"pid\":-1"},
                                                        {"\"cause\":1", "\"cause\":77"},
                                                        {"\"kind\":5", "\"kind\":-2"}}) {
    std::string bad = good;
    const std::size_t at = bad.find(right);
    ASSERT_NE(at, std::string::npos) << right;
    bad.replace(at, right.size(), wrong);
    EXPECT_FALSE(read_state(bad)) << wrong;
  }
}

TEST(InstanceState, BytesThatAreNoTextDoNotHinderIt) {
  InstanceState state = some_state();
  state.history[0].record.text = "\xff\xfe traceback";
  const auto after = read_state(to_text(state));
  ASSERT_TRUE(after);
  EXPECT_NE(after->history[0].record.text.find("traceback"), std::string::npos);
}

TEST(Fingerprint, ChangesWithNamesAndValuesAndNotWithTheirOrigin) {
  config::PoolSettings settings;
  settings.effective = {{"workers", "2", "default"}, {"bind", "[\"a\"]", "command line"}};
  const std::string before = fingerprint(settings);
  settings.effective[0].origin = "corn.toml:3";
  EXPECT_EQ(fingerprint(settings), before);
  settings.effective[0].value = "3";
  EXPECT_NE(fingerprint(settings), before);
  settings.effective[0] = {"worker", "s2", "default"};
  EXPECT_NE(fingerprint(settings), before);
}

}  // namespace
}  // namespace corn::driver
