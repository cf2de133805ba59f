// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "arbiterd/config/sources.h"
#include "arbiterd/core/supervisor.h"
#include "arbiterd/driver/adoption_socket.h"
#include "arbiterd/driver/code_watch.h"
#include "arbiterd/driver/door/door.h"
#include "arbiterd/driver/dump.h"
#include "arbiterd/driver/errand.h"
#include "arbiterd/driver/estate.h"
#include "arbiterd/driver/history.h"
#include "arbiterd/driver/hooks.h"
#include "arbiterd/driver/launch_plan.h"
#include "arbiterd/driver/outlets.h"
#include "arbiterd/driver/pool_runtime.h"
#include "arbiterd/driver/record_log.h"
#include "arbiterd/driver/script_process.h"
#include "arbiterd/driver/templates.h"
#include "arbiterd/driver/timers.h"
#include "arbiterd/driver/upgrade.h"
#include "arbiterd/driver/worker_process.h"
#include "arbiterd/os/child_watch.h"
#include "arbiterd/os/daemonize.h"
#include "arbiterd/os/loop.h"
#include "arbiterd/os/notify.h"
#include "arbiterd/os/oom_counter.h"
#include "arbiterd/os/process_launcher.h"
#include "arbiterd/os/signals.h"
#include "arbiterd/os/worker_cgroups.h"

namespace corn::driver {

// What an arbiter starts from; made by start.h.
struct ArbiterOptions {
  config::Invocation invocation;
  LoadedSettings loaded;
  LaunchContext launch;
  std::string instance;
  os::Notifier notifier;
  std::optional<os::DaemonStart> daemon;  // somebody waits for the start's outcome
  StartedAs started_as;
  std::string state_file;           // kept up to date while this arbiter lives
  std::optional<Estate> estate;     // taken over from an earlier arbiter
  int lock = -1;                    // descriptor of the instance's lock
  ScriptProcess* script = nullptr;  // outlives the arbiter; null: there is none
};

// The driver: turns what happens (ends of children, messages, signals, deadlines, commands) into
// events for the decision core, and its actions into deeds. One turn of the loop handles one fact;
// whatever the deeds report at once (a spawn's outcome, an inspection) is fed back before the turn
// ends. Nothing here decides and nothing waits. Everything runs on the thread that made it, except
// the door's functions.
class Arbiter {
 public:
  // Prepares loop, signals and door; no worker is started before run().
  static base::Result<std::unique_ptr<Arbiter>> create(ArbiterOptions options);
  ~Arbiter();
  Arbiter(const Arbiter&) = delete;
  Arbiter& operator=(const Arbiter&) = delete;

  // Valid as long as the arbiter.
  [[nodiscard]] Door& door();

  // Tells whoever waits for a daemon's start that it won't come to run().
  void start_failed(int status, const std::string& text);

  // Supervises until the core says exit; returns arbiterd's exit status.
  int run();

  // Called around an upgrade in place: before this program is replaced, when other threads must
  // end; and when that failed. Before run().
  void on_upgrade(std::function<void()> before, std::function<void()> after_failure);

 private:
  friend class LoopDoor;

  explicit Arbiter(ArbiterOptions options);
  base::Status prepare();

  // ---- facts in ----
  void feed(core::Event event);
  void on_signals(const os::SignalLevels& levels);
  void on_channel(core::WorkerId id);
  void on_message(WorkerProcess& worker, const base::Message& message);
  void on_exit(core::WorkerId id, const os::ExitStatus& status);
  void arm();

  // ---- deeds out, one for each kind of action (actions.cc) ----
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
  void publish(const core::Record& record);
  void execute(const core::Reply& action);
  void execute(const core::Progress& action);
  void execute(const core::Accepted& action);
  void execute(const core::ReopenLogs& action);
  void execute(const core::CheckUpgrade& action);
  void execute(const core::ExecUpgrade& action);
  void execute(const core::SetPhase& action);
  void execute(const core::ExitArbiter& action);

  base::Result<SpawnPlan> plan_spawn(const core::SpawnWorker& action) const;
  base::Result<WorkerProcess> launch(SpawnPlan plan);
  base::Status watch(const WorkerProcess& worker, base::UniqueFd pidfd);
  // The pool's log files as they are open now, and their descriptors.
  [[nodiscard]] std::pair<base::TakeLogs, std::vector<int>> logs_of(const std::string& pool) const;
  void pass_logs(const WorkerProcess& worker) const;
  base::Status open_cgroups();
  core::OutOfMemory out_of_memory_of(pid_t pid, const os::ExitStatus& status);

  // ---- from one arbiter to the next (succession.cc) ----
  [[nodiscard]] InstanceState instance_state(bool for_upgrade) const;
  void resume();
  // Goes on with the history of an arbiter whose workers have all ended, and notes their ends.
  // Returns the last worker's id.
  core::WorkerId remember();
  void take_over(const core::InheritedWorker& left, const std::string& pool);
  void await_late_workers();
  void on_late_worker(OfferedWorker offered);
  void replace_program();
  void note_change(const core::Record& record);
  void write_state();
  void write_state_by(base::TimePoint time);
  // Before anybody outside is told: a successor must not give an event's number to another one.
  void catch_up_state();

  void adopt_settings(LoadedSettings loaded);
  // What whoever gave the settings should know.
  void log_notes() const;
  void log_start() const;
  void start_watchdog();
  void adopt_outlets();  // and what is watched
  void measure_backlog();
  void post_command(core::Command command, CommandCallbacks callbacks);
  [[nodiscard]] ErrandContext errands();

  // ---- templates and hooks (templating.cc) ----
  void prepare_templates();
  void begin_templates(const core::BeginGeneration& action, const config::PoolSettings& settings);
  void on_forked(WorkerProcess worker, base::UniqueFd pidfd);
  void on_not_forked(core::WorkerId id, const std::optional<TemplateProcess::BootError>& error,
                     const std::string& text);
  [[nodiscard]] HookScene hook_scene() const;
  void note_target(const std::string& pool);
  void end_supervision();
  [[nodiscard]] bool is_booting(core::WorkerId id) const;
  [[nodiscard]] bool is_leaving(const std::string& pool) const;

  // ---- views (status.cc) ----
  [[nodiscard]] StatusSnapshot status() const;
  [[nodiscard]] PoolStatus pool_status(const core::PoolSnapshot& pool) const;
  [[nodiscard]] WorkerStatus worker_status(const core::WorkerSnapshot& worker,
                                           PoolTotals& totals) const;
  [[nodiscard]] std::vector<EffectiveSetting> effective_settings() const;

  // Constant after construction.
  const config::Invocation invocation_;
  const LaunchContext launch_;
  const std::string instance_;
  const StartedAs started_as_;
  const std::string state_file_;
  const int lock_;
  const WallTime started_at_;
  ScriptProcess* const script_;
  const bool has_terminal_;  // SIGWINCH then means a resized window

  // Loop thread only.
  std::unique_ptr<os::EpollLoop> loop_;
  std::unique_ptr<os::PidfdChildWatch> children_;
  std::unique_ptr<os::SignalSource> signals_;
  std::unique_ptr<Door> door_;
  os::CloneLauncher launcher_;
  os::Notifier notifier_;
  os::OomCounter oom_counter_ = os::OomCounter::of_this_process();
  std::unique_ptr<os::WorkerCgroups> cgroups_;  // null: workers share the arbiter's
  std::optional<os::DaemonStart> daemon_;
  Timers timers_;
  core::Supervisor supervisor_;
  base::TimePoint started_;
  std::deque<core::Event> pending_;  // facts that deeds of this turn reported
  bool feeding_ = false;
  Outlets outlets_;
  std::unique_ptr<CodeWatch> code_watch_;
  std::optional<Timers::Id> backlog_timer_;
  LoadedSettings loaded_;  // what the next BeginGeneration binds
  std::map<std::string, PoolRuntime> pools_;
  std::uint64_t log_reopens_ = 0;
  std::map<core::WorkerId, WorkerProcess> workers_;
  std::unique_ptr<Templates> templates_;
  std::unique_ptr<Hooks> hooks_;
  std::unique_ptr<Dumps> dumps_;
  History history_;
  RecordLog record_log_;
  std::map<core::CommandId, CommandCallbacks> commands_;
  std::uint64_t last_command_ = 0;
  core::Phase phase_ = core::Phase::kStarting;
  std::optional<int> exit_status_;
  std::string start_failure_;  // why a hook has ended the start
  bool resuming_ = false;      // generations that begin have workers already

  // Succession.
  std::optional<Estate> estate_;  // until resume()
  // What workers inherit for the time without an arbiter; empty: it can't be opened.
  base::UniqueFd adoption_directory_;  // that of launch_.adoption_socket
  base::UniqueFd departures_;
  base::TimePoint taken_over_;
  std::uint64_t upgrades_ = 0;
  std::string checked_program_;  // its mark, since the last check
  std::function<void()> before_upgrade_;
  std::function<void()> after_failed_upgrade_;
  bool upgrade_ordered_ = false;
  bool state_changed_ = false;             // the state file is behind
  bool state_urgent_ = false;              // it is to be written at the end of the turn
  bool state_unwritten_ = false;           // the last attempt has failed
  std::optional<Timers::Id> state_timer_;  // when it is written at the latest
  std::unique_ptr<AdoptionSocket> late_;   // while workers of an earlier arbiter are missing
};

}  // namespace corn::driver
