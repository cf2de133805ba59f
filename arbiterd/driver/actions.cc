// SPDX-License-Identifier: Apache-2.0
// The driver's deeds: one function for each kind of action.
#include <fmt/format.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <map>
#include <set>
#include <utility>

#include "arbiterd/driver/arbiter.h"
#include "arbiterd/driver/convert.h"
#include "arbiterd/driver/settings_loader.h"
#include "arbiterd/driver/stack_text.h"
#include "base/log.h"

namespace corn::driver {
namespace {

base::Milliseconds to_milliseconds(base::Duration duration) {
  return std::chrono::duration_cast<base::Milliseconds>(duration);
}

int number_of(core::KillSignal signal) {
  switch (signal) {
    case core::KillSignal::kTerm:
      return SIGTERM;
    case core::KillSignal::kQuit:
      return SIGQUIT;
    case core::KillSignal::kAbort:
      return SIGABRT;
    case core::KillSignal::kKill:
      return SIGKILL;
  }
  return SIGKILL;
}

}  // namespace

base::Result<SpawnPlan> Arbiter::plan_spawn(const core::SpawnWorker& action) const {
  const PoolRuntime& pool = pools_.at(action.pool);
  const PoolGeneration& generation = pool.generations.at(action.generation);
  SpawnPlan plan;
  WorkerProcess& worker = plan.worker;
  worker.id = action.worker;
  worker.pool = action.pool;
  worker.generation = action.generation;
  worker.age = action.age;
  worker.threads = base::scoreboard_slots(generation.settings.worker);
  worker.measure_memory = generation.settings.spec.max_memory > 0;
  worker.shares_memory = generation.settings.uses_template();
  worker.log_reopens = log_reopens_;

  base::WorkerConfig& config = plan.config;
  config = generation.settings.worker;
  config.role = base::WorkerRole::kServe;
  config.instance =
      loaded_.settings.arbiter.name.empty() ? config.application : loaded_.settings.arbiter.name;
  config.pool = action.pool;
  config.generation = action.generation;
  config.worker_id = action.worker.value;
  config.age = action.age;
  config.multiprocess = action.target > 1;
  config.keeps_sockets =
      !config.multiprocess && generation.settings.spec.handover == core::Handover::kExclusive;
  config.adoption_socket = launch_.adoption_socket;
  config.tells_failures = config.error_log != loaded_.settings.arbiter.log.path;
  // What is a template's alone.
  config.settings.clear();
  config.warm_up.clear();
  config.config_file.clear();

  auto scoreboard = base::ScoreboardMap::create(worker.threads);
  if (!scoreboard) return tl::unexpected(scoreboard.error());
  worker.scoreboard = std::move(*scoreboard);
  worker.scoreboard->beat.store(base::to_nanoseconds(loop_->now()), std::memory_order_relaxed);

  plan.descriptors = {worker.scoreboard.descriptor()};
  plan.listeners = generation.listeners;
  for (const ListenerPtr& listener : generation.listeners) {
    config.listeners.push_back(listener->info());
    plan.descriptors.push_back(listener->descriptor());
  }
  plan.hand_off = pool.hand_off;
  if (pool.hand_off) {
    config.hand_off = true;
    plan.descriptors.push_back(pool.hand_off->in());
    plan.descriptors.push_back(pool.hand_off->out());
  }
  plan.logs = generation.logs;
  config.log_files = !plan.logs.empty();
  for (const LogFilePtr& log : plan.logs) plan.descriptors.push_back(log->descriptor());
  if (adoption_directory_) {
    config.adoption_directory = true;
    plan.descriptors.push_back(adoption_directory_.get());
  }
  if (departures_) {
    config.departures = true;
    plan.descriptors.push_back(departures_.get());
  }
  return plan;
}

base::Result<WorkerProcess> Arbiter::launch(SpawnPlan plan) {
  const config::PoolSettings& settings =
      pools_.at(plan.worker.pool).generations.at(plan.worker.generation).settings;
  std::vector<os::DescriptorMapping> descriptors;
  int target = base::kScoreboardFd;
  for (const int source : plan.descriptors) descriptors.push_back({source, target++});
  auto launched = launch_workerd(launcher_, launch_, settings, plan.config, std::move(descriptors));
  if (!launched) return tl::unexpected(launched.error());
  WorkerProcess worker = std::move(plan.worker);
  worker.pid = launched->child.pid;
  worker.start_time = os::read_start_time(worker.pid).value_or(0);
  worker.channel = std::move(launched->channel);
  if (auto watched = watch(worker, std::move(launched->child.pidfd)); !watched) {
    // Without a watch its end would never be seen; it ends by itself when its channel closes.
    return tl::unexpected(watched.error());
  }
  return worker;
}

base::Status Arbiter::watch(const WorkerProcess& worker, base::UniqueFd pidfd) {
  const core::WorkerId id = worker.id;
  if (cgroups_) {
    if (auto added = cgroups_->add(worker.pid, pidfd.get()); !added) {
      base::log_warning("worker {} gets no control group of its own: {}", worker.pid,
                        added.error().message);
    }
  }
  if (auto watched = children_->watch(
          worker.pid, std::move(pidfd),
          [this, id](pid_t, const os::ExitStatus& status) { on_exit(id, status); });
      !watched) {
    return watched;
  }
  if (!worker.channel) return {};
  if (auto watched = loop_->watch(worker.channel.descriptor(), EPOLLIN,
                                  [this, id](std::uint32_t) { on_channel(id); });
      !watched) {
    std::ignore = children_->send_signal(worker.pid, SIGKILL);
    base::log_error("cannot listen to worker {}: {}", worker.pid, watched.error().message);
  }
  return {};
}

void Arbiter::execute(const core::SpawnWorker& action) {
  auto plan = plan_spawn(action);
  if (!plan) return feed(core::SpawnFailed{action.worker, plan.error().message});
  if (templates_->has(action.pool, action.generation)) return templates_->spawn(std::move(*plan));
  auto worker = launch(std::move(*plan));
  if (!worker) return feed(core::SpawnFailed{action.worker, worker.error().message});
  const pid_t pid = worker->pid;
  workers_.emplace(action.worker, std::move(*worker));
  feed(core::Spawned{action.worker, pid});
}

void Arbiter::execute(const core::DrainWorker& action) {
  const auto found = workers_.find(action.worker);
  if (found == workers_.end()) return;
  // The pool doesn't come back: its workers empty the accept queues, and the last one closes them.
  if (action.empty_backlog && is_leaving(found->second.pool)) {
    stop_listening(pools_[found->second.pool]);
  }
  const bool sent =
      found->second.channel &&
      found->second.channel.send(base::Drain{to_milliseconds(action.grace), action.empty_backlog});
  if (!sent) std::ignore = children_->send_signal(found->second.pid, SIGTERM);
}

void Arbiter::execute(const core::EndOverdueRequests& action) {
  const auto found = workers_.find(action.worker);
  if (found == workers_.end()) return;
  const bool sent =
      found->second.channel && found->second.channel.send(base::EndOverdue{
                                   to_milliseconds(action.limit), to_milliseconds(action.grace)});
  // It can't be told what of its work to save: then it dumps its stacks and dies.
  if (!sent) std::ignore = children_->send_signal(found->second.pid, SIGABRT);
}

void Arbiter::execute(const core::KillWorker& action) {
  if (templates_->call_off(action.worker, number_of(action.signal))) return;
  const auto found = workers_.find(action.worker);
  if (found == workers_.end()) return;
  std::ignore = children_->send_signal(found->second.pid, number_of(action.signal));
}

void Arbiter::execute(const core::InspectWorker& action) {
  const auto found = workers_.find(action.worker);
  if (found == workers_.end()) return;
  const WorkerProcess& worker = found->second;
  if (!worker.scoreboard) {
    // A worker of an earlier arbiter that says nothing is silent since this one has begun.
    core::Inspected silent;
    silent.worker = action.worker;
    silent.beat = taken_over_;
    return feed(std::move(silent));
  }
  const base::ScoreboardView view = worker.scoreboard.read(true);
  core::Inspected inspected;
  inspected.worker = action.worker;
  inspected.beat = std::min(view.beat, loop_->now());  // a worker may write what it likes
  inspected.sending = view.sending;
  for (const base::SlotView& slot : view.slots) {
    if (slot.request_start) {
      inspected.requests.push_back(
          {slot.thread_id, *slot.request_start,
           base::printable(slot.method) + ' ' + base::printable(slot.target)});
    } else {
      ++inspected.free_threads;
    }
  }
  if (worker.measure_memory) {
    // What it shares with its siblings is no reason to replace it.
    const auto own = worker.shares_memory ? os::read_pss(worker.pid) : os::read_rss(worker.pid);
    inspected.rss = own ? *own : os::read_rss(worker.pid).value_or(0);
  }
  feed(std::move(inspected));
}

void Arbiter::execute(const core::LoadSettings&) {
  load_settings(errands(), launch_, invocation_, [this](base::Result<config::Settings> settings) {
    if (!settings) return feed(core::SettingsFailed{settings.error().message});
    if (phase_ == core::Phase::kStopping) return;  // nothing is opened any more
    auto loaded = open_listeners(std::move(*settings), pools_, {});
    if (!loaded) return feed(core::SettingsFailed{loaded.error().message});
    auto logs = open_log_files(loaded->settings, LogFile::When::kRunning);
    if (!logs) return feed(core::SettingsFailed{logs.error().message});
    for (auto& [pool, files] : *logs) loaded->pools.at(pool).logs = std::move(files);
    adopt_settings(std::move(*loaded));
  });
}

void Arbiter::adopt_settings(LoadedSettings loaded) {
  for (const std::string& difference :
       config::unchangeable_differences(loaded_.settings, loaded.settings)) {
    base::log_warning("{}", difference);
  }
  config::keep_unchangeable(loaded_.settings, loaded.settings);
  if (const std::string& path = loaded.settings.arbiter.pid_file;
      !path.empty() && ::access(path.c_str(), F_OK) != 0) {
    base::log_warning("the pid file {} is gone; an upgrade in place writes it anew", path);
  }
  const base::LogOptions& log = loaded.settings.arbiter.log;
  if (auto opened = base::open_log(log); !opened) {
    feed(core::SettingsFailed{opened.error().message});
    return;
  }
  loaded_ = std::move(loaded);
  adopt_outlets();
  log_notes();
  core::SettingsLoaded event;
  for (const config::PoolSettings& pool : loaded_.settings.pools) event.pools.push_back(pool.spec);
  feed(std::move(event));
}

void Arbiter::execute(const core::BeginGeneration& action) {
  const auto found = loaded_.pools.find(action.pool);
  if (found == loaded_.pools.end()) return;
  PoolRuntime& pool = pools_[action.pool];
  PoolGeneration& generation = pool.generations[action.generation];
  // One that was taken over has its listeners already; what the settings no longer name goes with
  // the generation.
  const std::vector<ListenerPtr> before = std::exchange(generation, found->second).listeners;
  for (const ListenerPtr& listener : before) {
    if (!std::ranges::count(generation.listeners, listener)) {
      generation.listeners.push_back(listener);
    }
  }
  begin_templates(action, generation.settings);
  if (pool.hand_off) return;
  auto queue = os::HandOffQueue::open();
  if (!queue) {
    base::log_warning(
        "pool {}: {}; workers that go close their keep-alive connections instead of passing them "
        "on",
        action.pool, queue.error().message);
    return;
  }
  pool.hand_off = std::make_shared<const os::HandOffQueue>(std::move(*queue));
}

void Arbiter::execute(const core::CommitGeneration& action) {
  auto& generations = pools_[action.pool].generations;
  generations.erase(generations.begin(), generations.lower_bound(action.generation));
  hooks_->committed(action.pool, action.generation);
  templates_->retire_older(action.pool, action.generation);
}

void Arbiter::execute(const core::AbandonGeneration& action) {
  pools_[action.pool].generations.erase(action.generation);
  templates_->retire(action.pool, action.generation);
}

void Arbiter::execute(const core::ClosePool& action) {
  templates_->retire_pool(action.pool);
  pools_.erase(action.pool);
}

void Arbiter::execute(const core::Publish& action) { publish(action.record); }

void Arbiter::publish(const core::Record& record) {
  const HistoryEvent& event = history_.append(record, std::chrono::system_clock::now());
  record_log_.write(event.record);
  note_change(event.record);
  note_target(event.record.pool);
}

void Arbiter::execute(const core::PublishWithStack& action) {
  const auto found = workers_.find(*action.record.worker);
  if (found == workers_.end()) return publish(action.record);
  dumps_->begin(
      found->second,
      [this, action](const WorkerDump& dump) {
        core::Record record = action.record;
        record.text += stack_text(dump, action.thread);
        publish(record);
      },
      std::max(to_milliseconds(action.patience), base::Milliseconds(1)));
}

void Arbiter::execute(const core::Reply& action) {
  auto found = commands_.extract(action.id);
  if (found.empty() || !found.mapped().done) return;
  found.mapped().done({action.code, action.text, action.before, action.after});
}

void Arbiter::execute(const core::Progress& action) {
  const auto found = commands_.find(action.id);
  if (found != commands_.end() && found->second.progress) found->second.progress(action);
}

void Arbiter::execute(const core::Accepted& action) {
  const auto found = commands_.find(action.id);
  if (found != commands_.end() && found->second.accepted) found->second.accepted(action);
}

std::pair<base::TakeLogs, std::vector<int>> Arbiter::logs_of(const std::string& pool) const {
  std::map<std::string, int> open;
  if (const auto found = pools_.find(pool); found != pools_.end()) {
    for (const auto& [number, generation] : found->second.generations) {
      for (const LogFilePtr& log : generation.logs) open[log->path()] = log->descriptor();
    }
  }
  std::pair<base::TakeLogs, std::vector<int>> logs;
  for (const auto& [path, descriptor] : open) {
    logs.first.paths.push_back(path);
    logs.second.push_back(descriptor);
  }
  return logs;
}

void Arbiter::pass_logs(const WorkerProcess& worker) const {
  const auto [order, descriptors] = logs_of(worker.pool);
  if (!worker.channel || !worker.channel.send(order, descriptors)) {
    std::ignore = children_->send_signal(worker.pid, SIGUSR1);
  }
}

void Arbiter::execute(const core::ReopenLogs& action) {
  std::set<LogFilePtr> files;
  for (const auto& [name, pool] : pools_) {
    for (const auto& [number, generation] : pool.generations) {
      files.insert(generation.logs.begin(), generation.logs.end());
    }
  }
  for (const auto& [name, generation] : loaded_.pools) {
    files.insert(generation.logs.begin(), generation.logs.end());
  }
  std::set<std::string> failures;
  for (const LogFilePtr& file : files) {
    if (auto reopened = file->reopen(); !reopened) failures.insert(reopened.error().message);
  }
  // Behind the workers', so that a file which both write to is made as theirs.
  if (auto reopened = base::reopen_log(); !reopened) failures.insert(reopened.error().message);
  for (const std::string& failure : failures) {
    base::log_error("{}; the old file stays in use", failure);
  }
  ++log_reopens_;
  for (const auto& [id, worker] : workers_) pass_logs(worker);
  for (const auto& [name, pool] : pools_) {
    const auto [order, descriptors] = logs_of(name);
    templates_->pass_logs(name, order, descriptors);
  }
  feed(core::LogsReopened{action.id, fmt::format("{}", fmt::join(failures, "; "))});
}

void Arbiter::execute(const core::CheckUpgrade&) {
  checked_program_ = mark_of_program(started_as_);
  check_upgrade(errands(), started_as_, instance_state(true),
                [this](base::Result<std::string> seen) {
                  if (!seen) return feed(core::UpgradeChecked{false, seen.error().message});
                  hooks_->before_exec(hook_scene(), [this, version = *seen] {
                    feed(core::UpgradeChecked{true, version});
                  });
                });
}

// At the end of the turn, when everything that belongs to it has been done.
void Arbiter::execute(const core::ExecUpgrade&) {
  upgrade_ordered_ = true;
  templates_->hold(true);
}

void Arbiter::execute(const core::SetPhase& action) {
  phase_ = action.phase;
  switch (action.phase) {
    case core::Phase::kStarting:
      break;
    case core::Phase::kServing:
      std::ignore = notifier_.ready("serving");
      if (daemon_) daemon_->started();
      break;
    case core::Phase::kReloading:
      std::ignore = notifier_.reloading();
      break;
    case core::Phase::kDormant:
      std::ignore = notifier_.status("dormant: no workers; HUP, TTIN or scale brings them back");
      break;
    case core::Phase::kStopping:
      std::ignore = notifier_.stopping();
      loaded_.pools.clear();
      for (auto& [name, pool] : pools_) stop_listening(pool);
      // When those who wait for them have been called off.
      timers_.at(loop_->now(), [this] { templates_->end_loading(); });
      break;
  }
}

void Arbiter::execute(const core::ExitArbiter& action) {
  const bool failed_by_hook = action.status == 0 && !start_failure_.empty();
  exit_status_ = failed_by_hook ? 1 : action.status;
  const std::string& text = failed_by_hook ? start_failure_ : action.text;
  if (*exit_status_ != 0) {
    base::log_error("{}", record_log_.without_known(text));
    if (daemon_) daemon_->failed(*exit_status_, text);
  } else {
    base::log_info("Shutting down: arbiter");
  }
  end_supervision();
}

}  // namespace corn::driver
