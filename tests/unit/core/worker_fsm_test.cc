// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/core/worker_fsm.h"

#include <gtest/gtest.h>

#include <csignal>
#include <initializer_list>

namespace corn::core {
namespace {

using enum WorkerState;
using enum WorkerFact;

constexpr std::initializer_list<WorkerFact> kFacts = {kBecameReady, kBootFailed, kToldToDrain,
                                                      kPutDown};

TEST(WorkerFsm, HasExactlyTheTransitionsOfItsPicture) {
  struct Transition {
    WorkerState from;
    WorkerFact fact;
    WorkerState to;
  };
  const std::initializer_list<Transition> picture = {
      {kBooting, kBecameReady, kReady}, {kBooting, kBootFailed, kStopping},
      {kBooting, kPutDown, kStopping},  {kReady, kToldToDrain, kDraining},
      {kReady, kPutDown, kStopping},    {kDraining, kPutDown, kStopping},
  };
  for (const WorkerState from : {kBooting, kReady, kDraining, kStopping}) {
    for (const WorkerFact fact : kFacts) {
      std::optional<WorkerState> expected;
      for (const Transition& transition : picture) {
        if (transition.from == from && transition.fact == fact) expected = transition.to;
      }
      EXPECT_EQ(next_state(from, fact), expected)
          << name_of(from) << ", fact " << static_cast<int>(fact);
    }
  }
}

Worker worker_in(WorkerState state, std::optional<Cause> end_cause = std::nullopt) {
  Worker worker;
  worker.state = state;
  worker.end_cause = end_cause;
  return worker;
}

ExitStatus by_signal(int signal) {
  ExitStatus status;
  status.signal = signal;
  return status;
}

TEST(CauseOfEnd, IsWhatTheWorkerWasToldUnlessSomethingElseKilledIt) {
  EXPECT_EQ(cause_of_end(worker_in(kDraining, Cause::kReloaded), {}, false), Cause::kReloaded);
  EXPECT_EQ(cause_of_end(worker_in(kDraining, Cause::kReloaded), by_signal(SIGSEGV), false),
            Cause::kCrashed);
  EXPECT_EQ(cause_of_end(worker_in(kDraining, Cause::kReloaded), by_signal(SIGKILL), false),
            Cause::kCrashed);
  Worker killed = worker_in(kStopping, Cause::kTimeout);
  killed.kill_sent = true;
  EXPECT_EQ(cause_of_end(killed, by_signal(SIGKILL), true), Cause::kTimeout);
}

TEST(CauseOfEnd, OfAWorkerThatNobodyTold) {
  EXPECT_EQ(cause_of_end(worker_in(kReady), {}, false), Cause::kExited);
  EXPECT_EQ(cause_of_end(worker_in(kReady), by_signal(SIGKILL), false), Cause::kCrashed);
  EXPECT_EQ(cause_of_end(worker_in(kReady), by_signal(SIGKILL), true), Cause::kOutOfMemory);
  EXPECT_EQ(cause_of_end(worker_in(kBooting), {}, false), Cause::kBootFailed);
  ExitStatus unknown;
  unknown.known = false;
  EXPECT_EQ(cause_of_end(worker_in(kReady), unknown, false), Cause::kLost);
}

TEST(CauseOfEnd, OnlyWhatNobodyOrderedIsUnexpected) {
  for (const Cause cause : {Cause::kExited, Cause::kCrashed, Cause::kLost, Cause::kOutOfMemory,
                            Cause::kBootFailed, Cause::kBootTimeout}) {
    EXPECT_TRUE(is_unexpected(cause)) << name_of(cause);
  }
  for (const Cause cause :
       {Cause::kOrphaned, Cause::kTimeout, Cause::kRequestTimeout, Cause::kMaxRequests,
        Cause::kMaxMemory, Cause::kMaxLifetime, Cause::kReloaded, Cause::kScaledDown,
        Cause::kKilledByOperator, Cause::kShutdown}) {
    EXPECT_FALSE(is_unexpected(cause)) << name_of(cause);
  }
}

}  // namespace
}  // namespace corn::core
