// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/core/types.h"

#include <gtest/gtest.h>

#include <csignal>
#include <set>
#include <string>

namespace corn::core {
namespace {

TEST(CoreNames, CausesAreTheContractsList) {
  std::set<std::string> names;
  for (int cause = 0; cause <= static_cast<int>(Cause::kShutdown); ++cause) {
    names.insert(name_of(static_cast<Cause>(cause)));
  }
  EXPECT_EQ(names, (std::set<std::string>{"exited", "crashed", "lost", "orphaned", "timeout",
                                          "request-timeout", "out-of-memory", "max-requests",
                                          "max-memory", "max-lifetime", "reloaded", "scaled-down",
                                          "boot-failed", "killed-by-operator", "shutdown"}));
}

TEST(CoreNames, ABootTimeoutIsShownAsAFailedBoot) {
  EXPECT_STREQ(name_of(Cause::kBootTimeout), "boot-failed");
}

TEST(CoreNames, EveryEnumeratorHasItsOwnName) {
  std::set<std::string> kinds;
  for (int kind = 0; kind <= static_cast<int>(RecordKind::kRequestSlow); ++kind) {
    kinds.insert(name_of(static_cast<RecordKind>(kind)));
  }
  EXPECT_EQ(kinds.size(), static_cast<std::size_t>(RecordKind::kRequestSlow) + 1);
  std::set<std::string> states;
  for (int state = 0; state <= static_cast<int>(WorkerState::kStopping); ++state) {
    states.insert(name_of(static_cast<WorkerState>(state)));
  }
  EXPECT_EQ(states, (std::set<std::string>{"booting", "ready", "draining", "stopping"}));
  std::set<std::string> phases;
  for (int phase = 0; phase <= static_cast<int>(Phase::kStopping); ++phase) {
    phases.insert(name_of(static_cast<Phase>(phase)));
  }
  EXPECT_EQ(phases.size(), 5U);
}

TEST(CoreNames, AWorkerReportsOnlyCausesOfItsOwn) {
  EXPECT_EQ(cause_from_name("max-requests"), Cause::kMaxRequests);
  EXPECT_EQ(cause_from_name("orphaned"), Cause::kOrphaned);
  EXPECT_EQ(cause_from_name("killed-by-operator"), std::nullopt);
  EXPECT_EQ(cause_from_name(""), std::nullopt);
}

TEST(CoreTexts, AnExitStatusSaysHowTheProcessEnded) {
  ExitStatus status;
  status.code = 3;
  EXPECT_EQ(to_string(status), "exited with status 3");
  status.signal = SIGSEGV;
  status.core_dumped = true;
  EXPECT_EQ(to_string(status), "killed by signal SEGV (core dumped)");
  status.core_dumped = false;
  status.signal = SIGRTMIN + 1;
  EXPECT_EQ(to_string(status), "killed by signal " + std::to_string(SIGRTMIN + 1));
  status.known = false;
  EXPECT_EQ(to_string(status), "ended, status unknown");
}

TEST(CoreTexts, DurationsReadLikeSpeech) {
  EXPECT_EQ(to_text(std::chrono::milliseconds(250)), "250 ms");
  EXPECT_EQ(to_text(std::chrono::seconds(30)), "30 s");
  EXPECT_EQ(to_text(std::chrono::milliseconds(2500)), "2.5 s");
}

}  // namespace
}  // namespace corn::core
