// SPDX-License-Identifier: Apache-2.0
// The arbiter's part in passing an instance on: what it leaves, and how it takes over.
#include <fmt/core.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "arbiterd/core/worker.h"
#include "arbiterd/core/worker_fsm.h"
#include "arbiterd/driver/arbiter.h"
#include "arbiterd/driver/record_log.h"
#include "arbiterd/driver/state_file.h"
#include "base/log.h"

namespace corn::driver {
namespace {

// The state file is for what an operator wants to know after a crash, not an archive.
constexpr std::size_t kStateFileEvents = 256;
constexpr std::size_t kStateFileText = 2048;
// How far the state file may be behind in what doesn't concern which workers serve, as long as
// nobody outside knows of it.
constexpr base::Duration kStateDelay = std::chrono::milliseconds(100);
// Until it is tried again when it could not be written.
constexpr base::Duration kStateRetry = std::chrono::seconds(1);

ListenerRecord record_of(const os::Listener& listener, bool with_descriptor) {
  ListenerRecord record;
  record.bind = listener.address().text();
  record.inode = os::socket_inode(listener.descriptor());
  record.file = listener.file();
  record.activated = listener.address().activated;
  if (with_descriptor) record.descriptor = listener.descriptor();
  return record;
}

bool changes_workers(core::RecordKind kind) {
  using core::RecordKind;
  return kind == RecordKind::kWorkerSpawned || kind == RecordKind::kWorkerReady ||
         kind == RecordKind::kWorkerExited || kind == RecordKind::kReloadSucceeded ||
         kind == RecordKind::kScaled;
}

}  // namespace

void Arbiter::on_upgrade(std::function<void()> before, std::function<void()> after_failure) {
  before_upgrade_ = std::move(before);
  after_failed_upgrade_ = std::move(after_failure);
}

InstanceState Arbiter::instance_state(bool for_upgrade) const {
  InstanceState state;
  state.version = CORN_VERSION;
  state.machine = boot_id();
  state.pid = ::getpid();
  state.started_at = started_at_;
  state.started = started_;
  state.upgrades = upgrades_;
  state.last_sequence = history_.latest();
  state.history = for_upgrade ? history_.tail(History::kMaxEvents, History::kMaxTextBytes)
                              : history_.tail(kStateFileEvents, kStateFileText);
  state.inheritance = supervisor_.inheritance();
  for (const auto& [id, worker] : workers_) {
    WorkerRecord& record = state.workers[id];
    record.start_time = worker.start_time;
    if (!for_upgrade) continue;
    record.channel = worker.channel.descriptor();
    record.scoreboard = worker.scoreboard.descriptor();
    record.pidfd = children_->pidfd(worker.pid);
  }
  for (const auto& [name, pool] : pools_) {
    PoolRecord& record = state.pools[name];
    record.totals = pool.totals;
    if (for_upgrade && pool.hand_off) {
      record.hand_off_in = pool.hand_off->in();
      record.hand_off_out = pool.hand_off->out();
    }
    std::vector<ListenerPtr> listeners;
    for (const auto& [number, generation] : pool.generations) {
      record.settings = fingerprint(generation.settings);
      for (const ListenerPtr& listener : generation.listeners) {
        if (std::ranges::count(listeners, listener)) continue;
        listeners.push_back(listener);
        record.listeners.push_back(record_of(*listener, for_upgrade));
      }
    }
  }
  if (for_upgrade) {
    state.lock = lock_;
    state.descriptor_limit = launch_.descriptor_limit.rlim_cur;
    state.instance = instance_;
    state.kept = loaded_.settings.arbiter;
    if (base::log_descriptor() != STDERR_FILENO) state.log = base::log_descriptor();
  }
  return state;
}

void Arbiter::resume() {
  const InstanceState& state = estate_->state;
  upgrades_ = state.upgrades + (estate_->upgraded ? 1 : 0);
  taken_over_ = loop_->now();
  if (estate_->upgraded) started_ = std::min(state.started, taken_over_);
  history_.restore(std::move(estate_->state.history), state.last_sequence);
  pools_ = std::move(estate_->pools);

  core::Resume resume;
  resume.inheritance = state.inheritance;
  std::size_t found = 0;
  std::vector<core::WorkerId> ended;
  for (const core::InheritedPool& pool : state.inheritance.pools) {
    for (const core::InheritedWorker& worker : pool.workers) {
      take_over(worker, pool.name);
      if (workers_.contains(worker.id)) {
        ++found;
      } else {
        ended.push_back(worker.id);
      }
    }
  }
  bool changed = false;
  for (const config::PoolSettings& pool : loaded_.settings.pools) {
    resume.pools.push_back(pool.spec);
    const auto before = state.pools.find(pool.spec.name);
    changed =
        changed || before == state.pools.end() || before->second.settings != fingerprint(pool);
  }
  if (estate_->upgraded) {
    resume.kind = core::RecordKind::kUpgradeSucceeded;
    resume.text = fmt::format("version {} has taken over from {}, with {} workers", CORN_VERSION,
                              state.version, found);
    resume.reload = true;
  } else {
    changed = changed || state.inheritance.pools.size() != loaded_.settings.pools.size();
    resume.kind = core::RecordKind::kAdopted;
    resume.text = fmt::format("adopted {} workers of arbiter {}, which has died{}", found,
                              state.pid, changed ? "; settings have changed since" : "");
    resume.reload = changed || estate_->incomplete;
  }
  if (!estate_->upgraded) log_start();
  resuming_ = true;
  const bool reload = resume.reload;
  feed(std::move(resume));
  resuming_ = false;
  if (!reload) hooks_->adopted();
  // Those that ended while nobody looked.
  for (const core::WorkerId id : ended) {
    core::ExitStatus unknown;
    unknown.known = false;
    feed(core::WorkerExited{id, unknown, core::OutOfMemory::kNo});
  }
  const auto workers = std::move(estate_->workers);
  estate_.reset();
  for (const auto& [id, process] : workers) {
    if (process.ready) feed(core::WorkerReady{id});
    if (const auto cause = core::cause_from_name(process.retiring)) {
      feed(core::WorkerRetiring{id, *cause});
    }
  }
  await_late_workers();
}

core::WorkerId Arbiter::remember() {
  const InstanceState state = std::exchange(estate_, std::nullopt)->state;
  history_.restore(state.history, state.last_sequence);
  core::ExitStatus unknown;
  unknown.known = false;
  for (const core::InheritedPool& pool : state.inheritance.pools) {
    for (const core::InheritedWorker& left : pool.workers) {
      core::Worker worker;
      worker.state = left.state;
      worker.end_cause = left.end_cause;
      core::Record record;
      record.kind = core::RecordKind::kWorkerExited;
      record.pool = pool.name;
      record.worker = left.id;
      record.pid = left.pid;
      record.generation = left.generation;
      record.cause = core::cause_of_end(worker, unknown, false);
      record.exit = unknown;
      record.text = fmt::format("ended after arbiter {} had died, status unknown", state.pid);
      record_log_.write(
          history_.append(std::move(record), std::chrono::system_clock::now()).record);
    }
  }
  state_changed_ = state_urgent_ = true;
  return state.inheritance.last_worker;
}

void Arbiter::take_over(const core::InheritedWorker& left, const std::string& pool) {
  InheritedProcess& process = estate_->workers[left.id];
  if (!process.pidfd) return;
  WorkerProcess worker;
  worker.id = left.id;
  worker.pool = pool;
  worker.generation = left.generation;
  worker.age = left.age;
  worker.pid = left.pid;
  worker.start_time = estate_->state.workers[left.id].start_time;
  worker.channel = std::move(process.channel);
  worker.scoreboard = std::move(process.scoreboard);
  if (worker.scoreboard) worker.threads = worker.scoreboard.slot_count();
  const auto settings = loaded_.pools.find(pool);
  worker.measure_memory =
      settings != loaded_.pools.end() && settings->second.settings.spec.max_memory > 0;
  worker.shares_memory =
      settings != loaded_.pools.end() && settings->second.settings.uses_template();
  // Before it is watched: its end may be there already, and is told on a later turn.
  if (auto watched = watch(worker, std::move(process.pidfd)); !watched) {
    base::log_error("cannot watch worker {}: {}", worker.pid, watched.error().message);
    return;
  }
  workers_.emplace(left.id, std::move(worker));
}

void Arbiter::await_late_workers() {
  const auto is_late = [this](core::WorkerId id, pid_t pid) {
    const auto found = workers_.find(id);
    return found != workers_.end() && found->second.pid == pid && !found->second.channel;
  };
  const bool missing = std::ranges::any_of(
      workers_, [&](const auto& entry) { return is_late(entry.first, entry.second.pid); });
  if (!missing) return;
  auto socket =
      AdoptionSocket::listen(*loop_, launch_.adoption_socket, is_late,
                             [this](OfferedWorker offered) { on_late_worker(std::move(offered)); });
  if (!socket) {
    base::log_warning("{}; workers that come late are not adopted", socket.error().message);
    return;
  }
  late_ = std::move(*socket);
}

void Arbiter::on_late_worker(OfferedWorker offered) {
  WorkerProcess& worker = workers_.at(offered.id);
  worker.channel = std::move(offered.channel);
  worker.scoreboard = std::move(offered.scoreboard);
  worker.threads = worker.scoreboard.slot_count();
  if (PoolRuntime& pool = pools_[worker.pool]; !pool.hand_off) {
    pool.hand_off = std::move(offered.hand_off);
  }
  const core::WorkerId id = offered.id;
  std::ignore = loop_->watch(worker.channel.descriptor(), EPOLLIN,
                             [this, id](std::uint32_t) { on_channel(id); });
  base::log_info("Adopted worker {}, late", worker.pid);
  if (offered.ready) feed(core::WorkerReady{id});
  if (const auto cause = core::cause_from_name(offered.retiring)) {
    feed(core::WorkerRetiring{id, *cause});
  }
}

void Arbiter::replace_program() {
  base::log_info("Upgrading in place");
  if (before_upgrade_) before_upgrade_();
  const base::Error error = exec_upgrade(started_as_, instance_state(true), checked_program_);
  if (after_failed_upgrade_) after_failed_upgrade_();
  templates_->hold(false);
  feed(core::UpgradeFailed{error.message});
}

void Arbiter::note_change(const core::Record& record) {
  state_changed_ = true;
  if (changes_workers(record.kind) || history_.followed()) {
    state_urgent_ = true;
  } else if (!state_timer_) {
    write_state_by(loop_->now() + kStateDelay);
  }
}

void Arbiter::write_state_by(base::TimePoint time) {
  state_timer_ = timers_.at(time, [this] {
    state_timer_.reset();
    catch_up_state();
  });
}

void Arbiter::catch_up_state() {
  if (state_changed_) write_state();
}

void Arbiter::write_state() {
  state_changed_ = state_urgent_ = false;
  if (state_timer_) timers_.cancel(*std::exchange(state_timer_, {}));
  if (exit_status_ || phase_ == core::Phase::kStopping) return;
  const auto written = write_state_file(state_file_, to_text(instance_state(false)));
  if (!written) {
    if (!std::exchange(state_unwritten_, true)) {
      base::log_warning("{}; after a crash workers would not be adopted. It is tried again",
                        written.error().message);
    }
    state_changed_ = true;
    write_state_by(loop_->now() + kStateRetry);
  } else if (std::exchange(state_unwritten_, false)) {
    base::log_info("The state file {} is written again", state_file_);
  }
}

}  // namespace corn::driver
