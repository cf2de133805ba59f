// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>

#include "arbiterd/core/action.h"
#include "arbiterd/core/event.h"

namespace corn::core {

// The decision core: what an arbiter does about what happens, and nothing else. No system call,
// clock read, log line or thread; the same state, event and time give the same actions.
//
// The model, from the outside in.
//
//   The instance is in a phase:
//
//     kStarting --> kServing <--> kReloading      kServing --> kDormant --> kServing, kReloading
//         |             |             |              (WINCH)      (HUP, TTIN, scale)
//         +-------------+-------------+---> kStopping --> ExitArbiter
//
//   Taking over from an earlier arbiter (Resume) begins in kServing or kReloading: workers are
//   there.
//
//   kStarting ends when the first workers of every pool have become ready or failed. It ends in
//   kStopping, with exit status 3 or 4, if no pool's workers can boot. kStopping is final: commands
//   are refused, nothing is spawned, and a quick shutdown may overtake a graceful one.
//
//   A pool has a target and generations; pool.h has its rules, reloads.h those that concern all
//   pools together.
//
//   A worker is booting, ready, draining or stopping; worker_fsm.h has what leads where.
//
// What is wanted is kept apart from what is there. An event changes one of them, or both; then
// every pool compares them and orders what leads from one to the other (Pool::balance). Waiting is
// never a state of the program: it is a deadline, or a comparison that doesn't hold yet. So an
// operation can be interrupted anywhere by any other, and the last wish wins.
//
// Facts may come late, twice, or for workers long gone; they change nothing then. All lists are
// bounded: by the number of workers (at most kMaxWorkers a pool, twice that during a reload) and of
// commands that may wait (1024; further ones are answered kUnavailable).
//
// Not thread-safe: the loop thread owns it.
class Supervisor {
 public:
  // `seed` feeds the jitter of back-offs and lifetimes.
  explicit Supervisor(std::uint64_t seed);
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  // Takes a fact, and everything that has come due by `now`. The actions are to be carried out in
  // the order given, before the next call. `now` never goes backwards from one call to the next.
  // After ExitArbiter nothing is answered any more but commands (kUnavailable).
  [[nodiscard]] Actions on_event(const Event& event, TimePoint now);

  // When DeadlineReached is due; none: nothing is waited for but events. Always after the `now` of
  // the last on_event().
  [[nodiscard]] std::optional<TimePoint> next_deadline() const;

  [[nodiscard]] Snapshot snapshot() const;

  // What a successor needs to go on from here (event Resume). What isn't in it is given up: a
  // generation on trial, commands that wait, counts towards back-off.
  [[nodiscard]] Inheritance inheritance() const;

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace corn::core
