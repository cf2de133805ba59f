// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/driver/pool_runtime.h"

#include <gtest/gtest.h>

namespace corn::driver {
namespace {

config::PoolSettings pool(const std::string& name, std::vector<std::string> binds) {
  config::PoolSettings settings;
  settings.spec.name = name;
  settings.binds = std::move(binds);
  return settings;
}

config::Settings settings_of(std::vector<config::PoolSettings> pools) {
  config::Settings settings;
  settings.pools = std::move(pools);
  return settings;
}

TEST(OpenListeners, ReloadSharesTheSocketOfAnAddressThatStays) {
  auto first = open_listeners(settings_of({pool("web", {"127.0.0.1:0"})}), {}, {});
  ASSERT_TRUE(first) << first.error().message;
  std::map<std::string, PoolRuntime> running;
  running["web"].generations[1] = first->pools.at("web");
  auto second =
      open_listeners(settings_of({pool("web", {"127.0.0.1:0", "127.0.0.1:0"})}), running, {});
  ASSERT_TRUE(second) << second.error().message;
  const auto& listeners = second->pools.at("web").listeners;
  ASSERT_EQ(listeners.size(), 2U);
  EXPECT_EQ(listeners[0], first->pools.at("web").listeners[0]);
  EXPECT_NE(listeners[1], listeners[0]);
}

TEST(OpenListeners, AnAddressGivenTwiceIsRefusedByName) {
  auto probe = open_listeners(settings_of({pool("web", {"127.0.0.1:0"})}), {}, {});
  ASSERT_TRUE(probe);
  const std::string address =
      "127.0.0.1:" + std::to_string(probe->pools.at("web").listeners[0]->info().port);
  probe->pools.clear();
  const auto result =
      open_listeners(settings_of({pool("a", {address}), pool("b", {address})}), {}, {});
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().message.find(address), std::string::npos);
  EXPECT_NE(result.error().message.find("pool b"), std::string::npos);
}

TEST(OpenListeners, AnAddressThatCoversAnotherOfOursIsNotBlamedOnOthers) {
  const auto own = open_listeners(settings_of({pool("web", {"127.0.0.1:0"})}), {}, {});
  ASSERT_TRUE(own);
  const std::string port = std::to_string(own->pools.at("web").listeners[0]->info().port);
  std::string one;
  {
    auto probe = open_listeners(settings_of({pool("web", {"127.0.0.1:0"})}), {}, {});
    ASSERT_TRUE(probe);
    one = std::to_string(probe->pools.at("web").listeners[0]->info().port);
  }
  const auto both =
      open_listeners(settings_of({pool("web", {"127.0.0.1:" + one, "0.0.0.0:" + one})}), {}, {});
  ASSERT_FALSE(both);
  EXPECT_EQ(both.error().message,
            "pool web: bind: cannot listen on 0.0.0.0:" + one + ": 127.0.0.1:" + one +
                " has the same port and is this arbiter's own, named by the same settings; one "
                "address covers the other: keep one of them");
  std::map<std::string, PoolRuntime> running;
  auto first = open_listeners(settings_of({pool("web", {"127.0.0.1:" + one})}), {}, {});
  ASSERT_TRUE(first);
  running["web"].generations[1] = first->pools.at("web");
  const auto later = open_listeners(settings_of({pool("web", {"0.0.0.0:" + one})}), running, {});
  ASSERT_FALSE(later);
  EXPECT_NE(later.error().message.find("since before this reload"), std::string::npos);
  const auto foreign = open_listeners(settings_of({pool("web", {"0.0.0.0:" + port})}), {}, {});
  ASSERT_FALSE(foreign);
  EXPECT_EQ(foreign.error().message.find("arbiter's own"), std::string::npos)
      << foreign.error().message;
}

TEST(OpenListeners, WhatCannotBeOpenedIsLeftOutForWhoHasWorkersToLookAfter) {
  auto own = open_listeners(settings_of({pool("web", {"127.0.0.1:0"})}), {}, {});
  ASSERT_TRUE(own);
  std::map<std::string, PoolRuntime> running;
  running["web"].generations[1] = own->pools.at("web");
  std::vector<std::string> missing;
  const auto result =
      open_listeners(settings_of({pool("web", {"127.0.0.1:0", "unix:/nonexistent/a.sock"})}),
                     running, {}, &missing);
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->pools.at("web").listeners, own->pools.at("web").listeners);
  ASSERT_EQ(missing.size(), 1U);
  EXPECT_NE(missing[0].find("/nonexistent/a.sock"), std::string::npos) << missing[0];
}

TEST(OpenListeners, SocketsOfTheServiceManagerServeAPoolThatNamesNone) {
  auto own = open_listeners(settings_of({pool("web", {"127.0.0.1:0"})}), {}, {});
  ASSERT_TRUE(own);
  os::BindAddress inherited;
  inherited.kind = os::BindAddress::Kind::kDescriptor;
  inherited.descriptor = ::dup(own->pools.at("web").listeners[0]->descriptor());
  config::PoolSettings unbound = pool("web", {"127.0.0.1:8000"});
  unbound.effective = {{"bind", "[\"127.0.0.1:8000\"]", "default"}};
  auto result = open_listeners(settings_of({unbound}), {}, {inherited});
}

// Sockets that listen, and what socket activation makes of copies of them.
class Activation : public testing::Test {
 protected:
  void SetUp() override {
    auto opened =
        open_listeners(settings_of({pool("own", {"127.0.0.1:0", "127.0.0.1:0"})}), {}, {});
    ASSERT_TRUE(opened) << opened.error().message;
    sockets_ = opened->pools.at("own").listeners;
    inherited_ = pass();
  }

  [[nodiscard]] std::vector<os::BindAddress> pass() const {
    std::vector<os::BindAddress> passed;
    for (const ListenerPtr& socket : sockets_) {
      os::BindAddress address;
      address.kind = os::BindAddress::Kind::kDescriptor;
      address.descriptor = ::dup(socket->descriptor());
      address.activated = true;
      passed.push_back(address);
    }
    return passed;
  }

  [[nodiscard]] std::string address_of(std::size_t index) const {
    return "127.0.0.1:" + std::to_string(sockets_[index]->info().port);
  }

  [[nodiscard]] static std::vector<std::string> urls(const std::vector<ListenerPtr>& listeners) {
    std::vector<std::string> all;
    for (const ListenerPtr& listener : listeners) all.push_back(listener->info().url);
    return all;
  }

  std::vector<ListenerPtr> sockets_;
  std::vector<os::BindAddress> inherited_;
};

TEST_F(Activation, SocketsServeTheFirstPoolInsteadOfItsBind) {
  auto result = open_listeners(
      settings_of({pool("web", {address_of(0)}), pool("api", {"[::1]:0"})}), {}, inherited_);
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(urls(result->pools.at("web").listeners), urls(sockets_));
  EXPECT_EQ(result->pools.at("api").listeners.size(), 1U);
}

TEST_F(Activation, ReloadGoesOnWithTheSockets) {
  auto first = open_listeners(settings_of({pool("web", {"127.0.0.1:0"})}), {}, inherited_);
  ASSERT_TRUE(first) << first.error().message;
  std::map<std::string, PoolRuntime> running;
  running["web"].generations[1] = first->pools.at("web");
  running["web"].generations[2] = first->pools.at("web");
  auto second = open_listeners(settings_of({pool("web", {"127.0.0.1:0"})}), running, {});
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_EQ(second->pools.at("web").listeners, first->pools.at("web").listeners);
}

TEST_F(Activation, SocketsThatArePassedAgainAreThoseThatWorkersBrought) {
  auto first = open_listeners(settings_of({pool("web", {"127.0.0.1:0"})}), {}, inherited_);
  ASSERT_TRUE(first) << first.error().message;
  std::map<std::string, PoolRuntime> adopted;
  adopted["web"].generations[1] = first->pools.at("web");
  std::vector<os::BindAddress> again = pass();
  again.erase(again.begin());
  auto second = open_listeners(settings_of({pool("web", {"127.0.0.1:0"})}), adopted, again);
  ASSERT_TRUE(second) << second.error().message;
  // The service manager doesn't pass the other one any more.
  EXPECT_EQ(second->pools.at("web").listeners, std::vector{first->pools.at("web").listeners.at(1)});
}

TEST_F(Activation, ASocketThatAnotherPoolNamesIsThatPools) {
  const std::string named = inherited_.at(1).text();
  auto result = open_listeners(settings_of({pool("web", {"127.0.0.1:0"}), pool("api", {named})}),
                               {}, inherited_);
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(urls(result->pools.at("web").listeners), std::vector{sockets_[0]->info().url});
  EXPECT_EQ(urls(result->pools.at("api").listeners), std::vector{sockets_[1]->info().url});
}

TEST_F(Activation, ABindThatNobodyServesIsNoted) {
  config::PoolSettings bound = pool("web", {address_of(0), "127.0.0.1:1", "unix:/nowhere"});
  bound.effective = {{"bind", "[...]", "command line"}};
  auto result = open_listeners(settings_of({bound}), {}, inherited_);
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->settings.notes,
            (std::vector<std::string>{
                "command line: bind 127.0.0.1:1 has no effect: the sockets of socket activation "
                "are served instead",
                "command line: bind unix:/nowhere has no effect: the sockets of socket activation "
                "are served instead"}));
}

TEST(PoolTotals, QuantilesAreUpperBoundsOfTheirBuckets) {
  PoolTotals totals;
  EXPECT_EQ(totals.latency_ms(0.5), 0);
  base::ScoreboardView view;
  view.latency[base::latency_bucket(std::chrono::milliseconds(1))] = 98;
  view.latency[base::latency_bucket(std::chrono::milliseconds(100))] = 2;
  totals.add(view);
  EXPECT_GE(totals.latency_ms(0.50), 1.0);
  EXPECT_LT(totals.latency_ms(0.50), 1.4);
  EXPECT_GE(totals.latency_ms(0.99), 100.0);
  EXPECT_LT(totals.latency_ms(0.99), 140.0);
}

TEST(PoolTotals, RequestsInsideAWorkerThatEndsWereCutOff) {
  const base::TimePoint time(std::chrono::seconds(100));
  base::ScoreboardView left;
  left.requests = 7;
  left.in_flight = 2;  // one of them in no slot
  left.slots = {{1, time, "GET", "/"}, {2, std::nullopt, "GET", "/before"}};
  PoolTotals totals;
  totals.add(left);
  totals.add_cut_off(left, time + std::chrono::seconds(2));
  EXPECT_EQ(totals.requests, 9U);
  EXPECT_EQ(totals.errors, 2U);
  EXPECT_GE(totals.latency_ms(0.99), 2000.0);
}

TEST(LastRequest, IsTheOldestOfThoseUnderWayElseAnyOfThoseBefore) {
  const base::TimePoint time(std::chrono::seconds(100));
  base::ScoreboardView left;
  core::ExitStatus none;
  note_last_request(left, none);
  EXPECT_EQ(none.request, "");
  left.slots = {{1, std::nullopt, "", ""}, {2, std::nullopt, "GET", "/before"}};
  core::ExitStatus idle;
  note_last_request(left, idle);
  EXPECT_EQ(idle.request, "GET /before");
  EXPECT_FALSE(idle.in_request);
  left.slots.push_back({3, time, "GET", "/younger"});
  left.slots.push_back({4, time - std::chrono::seconds(1), "POST", "/older"});
  left.slots.push_back({5, std::nullopt, "GET", "/done"});
  core::ExitStatus busy;
  note_last_request(left, busy);
  EXPECT_EQ(busy.request, "POST /older");
  left.slots = {{1, time, "GET", "/\xe9\x9b"}};
  core::ExitStatus odd;
  note_last_request(left, odd);
  EXPECT_EQ(odd.request, "GET /\\xe9\\x9b");
  EXPECT_TRUE(busy.in_request);
}

}  // namespace
}  // namespace corn::driver
