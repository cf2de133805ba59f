// SPDX-License-Identifier: Apache-2.0
// A make-believe machine for the decision core: it carries out actions on processes that exist only
// here, lets them boot, hang, crash and exit at random, gives random commands, and checks after
// every event what must always hold. The same seed gives the same run.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "arbiterd/core/supervisor.h"

namespace corn::fakes {

class CoreWorld {
 public:
  // `keep_log`: broken() shows the last events, at several times the run's cost.
  explicit CoreWorld(std::uint64_t seed, bool keep_log = false);

  // Anything may happen for this long.
  void live(core::Duration duration);
  // Nothing bad happens any more; what was begun comes to its end.
  void calm_down(core::Duration duration);
  // Everything that was wanted is there: every pool that isn't dormant has its target ready, of one
  // generation, and every command has its reply.
  void check_settled();
  // TERM; runs on until the arbiter exits. Then checks that every worker's end was recorded.
  void terminate();

  [[nodiscard]] bool exited() const { return exit_.has_value(); }
  // The first thing that did not hold; empty: all held.
  [[nodiscard]] const std::string& broken() const { return broken_; }
  [[nodiscard]] std::uint64_t events() const { return event_count_; }

 private:
  struct Process {
    std::string pool;
    core::Generation generation = 0;
    core::PoolSpec spec;
    core::TimePoint ordered_at;
    bool alive = true;
    bool ready = false;      // told the core so
    bool told = false;       // to drain or to die
    bool drains = false;     // told to, and not yet to die
    bool told_last = false;  // that nobody is left to take its connections
    bool hangs = false;      // beats no more, obeys SIGKILL only
    core::TimePoint beat;
    std::optional<core::TimePoint> killed_by;  // SIGKILL must have been ordered by then
    bool kill_ordered = false;
    std::optional<core::TimePoint> slow;  // start of a request that takes its time
    std::set<core::TimePoint> slow_told;  // of which it was told
    bool called_off = false;              // told to go before it was ready
    int records = 0;                      // of its end
  };
  struct Scheduled {
    core::TimePoint at;
    core::Event event;
  };

  [[nodiscard]] std::uint64_t pick(std::uint64_t limit);  // 0 to limit - 1
  [[nodiscard]] bool chance(std::uint64_t percent) { return pick(100) < percent; }
  [[nodiscard]] core::Duration between(std::int64_t from_ms, std::int64_t to_ms);

  void schedule(core::Duration delay, core::Event event);
  void schedule_exit(core::WorkerId id, core::Duration delay, int code, int signal);
  void run_until(core::TimePoint end, bool misfortune);
  void feed(core::Event event);
  void handle(const core::Event& event);
  void misfortune();
  void command();
  void succeed(bool upgraded);
  void inherit(const core::InheritedWorker& left);
  [[nodiscard]] std::vector<core::PoolSpec> make_settings();
  [[nodiscard]] core::PoolSpec make_spec(const std::string& name);
  [[nodiscard]] std::optional<core::WorkerId> some_worker();

  void execute(const core::SpawnWorker& action);
  void execute(const core::DrainWorker& action);
  void execute(const core::EndOverdueRequests& action);
  void execute(const core::KillWorker& action);
  void execute(const core::InspectWorker& action);
  void execute(const core::LoadSettings& action);
  void execute(const core::BeginGeneration& action);
  void execute(const core::CommitGeneration& action);
  void execute(const core::AbandonGeneration& action);
  void execute(const core::ClosePool& action);
  void execute(const core::Publish& action);
  void execute(const core::PublishWithStack& action);
  void execute(const core::Reply& action);
  void execute(const core::Progress& action);
  void execute(const core::Accepted& action);
  void execute(const core::ReopenLogs& action);
  void execute(const core::CheckUpgrade& action);
  void execute(const core::ExecUpgrade& action);
  void execute(const core::SetPhase& action);
  void execute(const core::ExitArbiter& action);

  void check_deadlines();
  void check_able_to_serve(const std::vector<core::DrainWorker>& drained);
  void note_promises();
  void check(bool holds, const char* what, core::WorkerId worker = {});
  void note(const std::string& line);

  std::mt19937_64 random_;
  std::unique_ptr<core::Supervisor> supervisor_;
  core::TimePoint now_;
  std::multimap<core::TimePoint, core::Event> scheduled_;
  std::deque<core::Event> pending_;
  bool feeding_ = false;
  bool exec_ordered_ = false;
  bool good_times_ = false;  // code boots, nothing hangs

  std::vector<core::PoolSpec> settings_;  // loaded last
  bool load_outstanding_ = false;
  std::map<std::string, std::map<core::Generation, core::PoolSpec>> generations_;
  std::map<std::string, std::set<core::Generation>> over_;  // abandoned or superseded
  std::map<std::string, core::Generation> committed_;
  std::set<core::Generation> broken_code_;
  std::map<core::WorkerId, Process> processes_;
  std::set<core::WorkerId> alive_;
  std::uint64_t last_command_ = 0;
  std::set<core::CommandId> unanswered_;
  std::map<std::string, std::uint32_t> promised_;  // workers able to serve, by pool
  core::Phase phase_ = core::Phase::kStarting;
  std::optional<int> exit_;
  std::vector<core::DrainWorker> drained_;  // in this event
  const bool keep_log_;
  std::deque<std::string> log_;
  std::string broken_;
  std::uint64_t event_count_ = 0;
};

}  // namespace corn::fakes
