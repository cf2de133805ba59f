// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "arbiterd/core/backoff.h"
#include "arbiterd/core/event.h"
#include "arbiterd/core/turn.h"
#include "arbiterd/core/waiters.h"
#include "arbiterd/core/watch.h"
#include "arbiterd/core/worker.h"

namespace corn::core {

// Hands out worker ids, never the same one again.
class WorkerIds {
 public:
  WorkerId next() { return WorkerId{++last_}; }
  // Ids up to this one were handed out by an earlier arbiter.
  void start_after(WorkerId last) { last_ = std::max(last_, last.value); }
  [[nodiscard]] WorkerId last() const { return WorkerId{last_}; }

 private:
  std::uint64_t last_ = 0;
};

// How the roll-out of a generation ended.
struct RolloutEnd {
  bool succeeded = false;
  std::string text;               // "web: generation 2", or why not, with the traceback
  std::vector<WorkerId> leaving;  // the old generation's workers, which drain now
};

// A pool: an application's workers and the rules that keep as many of them serving as are wanted.
//
// The model. A pool has a *target* (how many workers) and a *committed* generation (of which
// settings and code). A *roll-out* is a younger generation on trial: while it lasts, committed
// workers are the old ones. Nothing is done step by step: facts and commands only change what is
// known and wanted, and after each event balance() orders whatever leads from what is there towards
// what is wanted. So a crash, a scale or a second reload in the middle of anything needs no rule of
// its own.
//
// What balance() does, by `handover`:
//   overlap    A worker retires only when another is ready in its place. Recycling: up to a quarter
//              of the target at a time get a replacement on top of the target; whenever more than
//              the target are ready, one that asked goes. Roll-out with a surge of the whole
//              target: all of the new generation is ready before any old worker retires (the gate).
//              With less: whenever more than the target are ready, an old one goes.
//   exclusive  A worker retires first, and its place is filled when it has ended. At most a quarter
//              of the target is missing at a time.
// Workers that drain don't count in either (except as occupying a place in exclusive): one with a
// long request holds up nothing. Retired first when fewer are wanted: those still booting (the
// youngest first), then those that asked to be replaced, then the oldest (as gunicorn does: it has
// leaked the most).
//
// An old worker that dies during a roll-out is replaced from its own generation, as long as no new
// one is ready to serve in its place: whether the new code works is not known yet.
//
// Interrupted transitions: a roll-out ends by commit (it is complete), by failure (a new worker
// can't boot, or three die within a second of getting ready), or is abandoned for a later one, for
// dormancy, or for shutdown. Then the committed generation is wanted again; ready workers of the
// other one serve until enough committed ones do.
//
// Not thread-safe; owned by the Supervisor.
class Pool {
 public:
  // `ids` and `jitter` are shared by all pools and outlive them.
  Pool(std::string name, WorkerIds& ids, Jitter& jitter);

  [[nodiscard]] const std::string& name() const { return name_; }

  // ---- generations ----
  // The first generation, at the start of the arbiter.
  void start(const PoolSpec& spec, Turn& turn);
  // Instead of that: takes over what an earlier arbiter left. Without `spec`, the settings don't
  // have the pool any more, and it is removed.
  void resume(const InheritedPool& left, const std::optional<PoolSpec>& spec, Turn& turn);
  // A generation on trial with these settings; one that is on trial already is abandoned for it.
  // Wakes a dormant pool, and takes back one that was removed.
  void begin_rollout(const PoolSpec& spec, Turn& turn);
  [[nodiscard]] bool rolling() const { return rollout_.has_value(); }
  // Of the roll-out: new workers ready.
  [[nodiscard]] std::uint32_t rollout_ready() const;
  // Nothing is on trial any more, if anything was; a pool without a committed generation is
  // removed.
  void cancel_rollout(const std::string& reason, Turn& turn);
  // How the last roll-out ended, once.
  std::optional<RolloutEnd> take_rollout_end();

  // ---- the pool as a whole ----
  // WINCH: no workers until begin_rollout() or a scale; waiting commands are aborted.
  void sleep(Turn& turn);
  // The settings don't have this pool any more: its workers drain. Returns them.
  std::vector<WorkerId> remove(const std::string& reason, Turn& turn);
  // Another program takes this process over: what is on trial is given up, whoever waits is told.
  void hand_over(Turn& turn);
  // Graceful or quick; quick may follow graceful. Nothing is spawned any more.
  void stop(bool quick, Turn& turn);
  // No worker could boot, but other pools serve: try again, with back-off.
  void go_on_degraded(Turn& turn);

  // ---- facts about workers ----
  [[nodiscard]] Worker* find(WorkerId id);
  void spawned(Worker& worker, pid_t pid, Turn& turn);
  void spawn_failed(Worker& worker, const std::string& text, Turn& turn);
  void ready(Worker& worker, Turn& turn);
  void boot_failed(Worker& worker, base::BootFailure kind, const std::string& text, Turn& turn);
  void retiring(Worker& worker, Cause cause, Turn& turn);
  void inspected(Worker& worker, const Inspected& seen, Turn& turn);
  // The worker is gone afterwards.
  void exited(Worker& worker, const ExitStatus& status, OutOfMemory out_of_memory, Turn& turn);

  // ---- commands ----
  // `after` is 1 to kMaxWorkers. `wake`: a dormant pool comes back.
  void scale(CommandId id, std::uint32_t after, bool wake, Turn& turn);
  void restart_worker(CommandId id, Worker& worker, Turn& turn);
  void kill_worker(CommandId id, Worker& worker, Turn& turn);

  // ---- after every event, in this order ----
  void expire(Turn& turn);   // deadlines that have passed
  void balance(Turn& turn);  // what is there towards what is wanted
  void settle(Turn& turn);   // waiting commands

  // ---- what is there ----
  [[nodiscard]] bool empty() const { return workers_.empty(); }
  [[nodiscard]] bool dormant() const { return dormant_; }
  [[nodiscard]] bool removed() const { return removed_; }
  [[nodiscard]] std::uint32_t target() const { return target_; }
  [[nodiscard]] std::size_t waiting() const { return waiters_.size(); }
  // The first workers have all become ready or failed. Stays true.
  [[nodiscard]] bool started() const { return started_; }
  // No worker of the first generation could boot, and none is trying now.
  [[nodiscard]] bool could_not_boot() const;
  struct FirstFailure {
    base::BootFailure kind = base::BootFailure::kWorker;
    std::string text;
  };
  [[nodiscard]] const std::optional<FirstFailure>& first_failure() const { return first_failure_; }
  [[nodiscard]] std::optional<TimePoint> next_deadline() const;
  [[nodiscard]] PoolSnapshot snapshot() const;
  [[nodiscard]] InheritedPool inheritance() const;

 private:
  // A generation on trial.
  struct Rollout {
    Generation generation = 0;
    std::shared_ptr<const PoolSpec> spec;
    std::uint32_t old_target = 0;       // what the committed generation keeps up meanwhile
    std::uint32_t target_before = 0;    // comes back if the roll-out fails, when the new
    bool target_from_settings = false;  //   target is from the settings on trial
    Backoff backoff;
    std::uint32_t early_deaths = 0;
  };
  // Workers that were not told to go.
  struct Count {
    std::uint32_t booting = 0;
    std::uint32_t ready = 0;
    [[nodiscard]] std::uint32_t total() const { return booting + ready; }
  };

  // ---- pool.cc ----
  void publish(RecordKind kind, Worker* worker, std::string text, Turn& turn,
               std::optional<Cause> cause = std::nullopt,
               std::optional<ExitStatus> exit = std::nullopt) const;
  [[nodiscard]] Record record_of(RecordKind kind, Worker* worker, std::string text) const;
  void tell_of(Worker& worker, SlowRequest request, Turn& turn) const;
  [[nodiscard]] Generation wanted() const;
  [[nodiscard]] std::uint32_t count_ready() const;
  // Of this generation, or of all others.
  [[nodiscard]] Count count(Generation generation, bool of_this_generation) const;
  [[nodiscard]] bool wants_workers() const { return !stopping_ && !dormant_ && !removed_; }
  void abort_waiters(const std::string& why, Turn& turn);

  // ---- pool_retire.cc: the ways in which a worker is told to go ----
  void drain(Worker& worker, Cause cause, const std::string& reason, bool empty_backlog,
             Turn& turn);
  void put_down(Worker& worker, KillSignal signal, Cause cause, const std::string& reason,
                Turn& turn);
  // Requests over their limit are given up; the worker goes when its others are finished.
  void end_overdue(Worker& worker, const Verdict& verdict, Turn& turn);
  void call_off(Worker& worker, Cause cause, const std::string& reason, Turn& turn);
  // It was ready before it was told, so it drains, with all the time that takes.
  void ready_though_called_off(Worker& worker, Turn& turn);
  // Drains a ready worker, calls a booting one off; others are on their way already. `nobody_left`:
  // no other worker will serve what waits in the accept queue.
  void retire(Worker& worker, Cause cause, const std::string& reason, Turn& turn,
              bool nobody_left = false);
  void kill_overdue(Worker& worker, Turn& turn);
  void boot_overdue(Worker& worker, Turn& turn);
  void wish_to_retire(Worker& worker, Cause cause, const std::string& reason, Turn& turn);

  // ---- pool_deaths.cc: what the ends of workers mean for the pool ----
  void note_boot_failure(Worker& worker, base::BootFailure kind, const std::string& text,
                         Turn& turn);
  void note_death(Worker& worker, Cause cause, const ExitStatus& status, const std::string& text,
                  Turn& turn);
  void count_failure(const Worker& worker, const std::string& text, Turn& turn);
  void degrade(const std::string& why, Turn& turn);
  // When the pool counts as recovered, if nothing happens before.
  [[nodiscard]] std::optional<TimePoint> stable_at() const;
  void recover(Turn& turn);

  // ---- pool_commands.cc ----
  void wait_for_end(CommandId id, const Worker& worker, bool was_staying, const std::string& done);

  // ---- pool_rollout.cc ----
  void abandon_rollout(const std::string& reason, Turn& turn);
  void fail_rollout(const std::string& why, Turn& turn);
  void commit_rollout(Turn& turn);

  // ---- pool_balance.cc ----
  void balance_overlap(Turn& turn);
  void balance_rollout(Turn& turn);
  void balance_exclusive(Turn& turn);
  void note_first_boot();
  [[nodiscard]] bool exclusive() const;
  [[nodiscard]] std::uint32_t surge() const;
  [[nodiscard]] std::uint32_t quarter() const;
  [[nodiscard]] std::uint32_t count_granted() const;
  // The committed worker that asked first to be replaced, of those with a replacement or without.
  Worker* first_wish(bool granted);
  // The one to retire first: of this generation, or of any other.
  Worker* first_to_retire(Generation generation, bool of_this_generation, bool ready_only);
  // How many of `missing` workers may be spawned now; sets spawn_blocked_until_.
  [[nodiscard]] std::uint32_t spawnable(Generation generation, std::uint32_t missing_count,
                                        TimePoint now);
  void spawn(Generation generation, std::uint32_t count, Turn& turn);
  [[nodiscard]] Backoff& backoff_of(Generation generation);
  void vacate(const Worker& worker, Cause cause);

  // Constant after construction.
  const std::string name_;
  WorkerIds& ids_;
  Jitter& jitter_;

  // What is wanted.
  std::uint32_t target_ = 1;
  Generation committed_ = 0;  // 0: none yet, the pool was added by the reload that runs
  std::shared_ptr<const PoolSpec> spec_ = std::make_shared<PoolSpec>();  // the committed one's
  std::optional<Rollout> rollout_;
  bool dormant_ = false;
  bool removed_ = false;
  bool stopping_ = false;

  // What is there.
  std::map<WorkerId, Worker> workers_;
  std::uint32_t last_age_ = 0;
  Generation last_generation_ = 0;
  std::uint64_t last_wish_ = 0;
  std::deque<std::string> vacancies_;  // reasons for the next spawns; at most kMaxWorkers

  // What happened.
  bool started_ = false;
  bool ever_ready_ = false;
  bool first_boot_failed_ = false;
  std::uint32_t first_failures_ = 0;  // of the first workers, before any was ready
  std::optional<FirstFailure> first_failure_;
  Backoff backoff_;  // the committed generation's
  std::optional<TimePoint> spawn_blocked_until_;
  bool degraded_ = false;
  std::deque<TimePoint> deaths_;  // unexpected, within the restart window; at most the intensity
  std::uint64_t restarts_ = 0;
  std::optional<RolloutEnd> rollout_end_;
  Waiters waiters_;
};

}  // namespace corn::core
