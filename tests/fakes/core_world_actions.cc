// SPDX-License-Identifier: Apache-2.0
// What the make-believe machine does when the core orders it.
#include <algorithm>
#include <csignal>

#include "tests/fakes/core_world.h"

namespace corn::fakes {

using core::Duration;
using core::PoolSpec;
using core::TimePoint;
using core::WorkerId;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr pid_t kFirstPid = 1000;

}  // namespace

void CoreWorld::execute(const core::SpawnWorker& action) {
  check(!processes_.contains(action.worker), "a worker id is never used again");
  check(phase_ != core::Phase::kStopping, "nothing is spawned while stopping");
  check(generations_[action.pool].contains(action.generation), "the generation was begun");
  check(!over_[action.pool].contains(action.generation), "the generation is not over");
  Process process;
  process.pool = action.pool;
  process.generation = action.generation;
  process.spec = generations_[action.pool][action.generation];
  process.ordered_at = now_;
  process.beat = now_;
  const WorkerId id = action.worker;
  if (!good_times_ && chance(3)) {
    process.alive = false;
    processes_[id] = process;
    feed(core::SpawnFailed{id, "out of processes"});
    return;
  }
  feed(core::Spawned{id, kFirstPid + static_cast<pid_t>(id.value)});
  if (!good_times_ && (broken_code_.contains(action.generation) ? chance(90) : chance(4))) {
    schedule(between(1, 500), core::WorkerBootFailed{id, base::BootFailure::kApplication, "bad"});
    schedule_exit(id, between(500, 900), 4, 0);
  } else if (!good_times_ && chance(4)) {
    process.hangs = true;
  } else {
    schedule(between(1, 2000), core::WorkerReady{id});
  }
  processes_[id] = process;
  alive_.insert(id);
}

void CoreWorld::execute(const core::DrainWorker& action) {
  Process& process = processes_.at(action.worker);
  if (process.drains && !process.told_last && action.empty_backlog) {
    process.told_last = true;  // news for one that drains already
    return;
  }
  check(!process.told, "a worker is told to drain once, and not after it was told to die");
  process.told = process.drains = true;
  process.told_last = action.empty_backlog;
  process.killed_by = now_ + action.grace + seconds(1);
  drained_.push_back(action);
  if (good_times_ || chance(80)) schedule_exit(action.worker, between(1, 3000), 0, 0);
}

void CoreWorld::execute(const core::EndOverdueRequests& action) {
  Process& process = processes_.at(action.worker);
  check(process.alive && process.ready, "only a worker that serves has requests");
  check(action.limit == process.spec.request_timeout, "a request's limit is its worker's");
  process.told = process.drains = true;
  process.killed_by =
      std::min(process.killed_by.value_or(TimePoint::max()), now_ + action.grace + seconds(1));
  if (good_times_ || chance(80)) schedule_exit(action.worker, between(1, 3000), 0, 0);
}

void CoreWorld::execute(const core::KillWorker& action) {
  Process& process = processes_.at(action.worker);
  check(process.records == 0, "nobody who has ended is told to die");
  process.told = true;
  process.drains = false;
  switch (action.signal) {
    case core::KillSignal::kTerm:
      process.called_off = !process.ready;
      process.told_last = true;
      [[fallthrough]];
    case core::KillSignal::kQuit:
      process.killed_by = std::min(process.killed_by.value_or(TimePoint::max()), now_ + seconds(2));
      if (chance(70)) schedule_exit(action.worker, between(1, 500), 0, 0);
      break;
    case core::KillSignal::kAbort:
      process.killed_by =
          std::min(process.killed_by.value_or(TimePoint::max()), now_ + core::kAbortGrace);
      if (chance(60)) schedule_exit(action.worker, between(1, 400), 0, SIGABRT);
      break;
    case core::KillSignal::kKill:
      check(!process.kill_ordered, "SIGKILL is sent once");
      process.kill_ordered = true;
      schedule_exit(action.worker, between(1, 20), 0, SIGKILL);
      break;
  }
}

void CoreWorld::execute(const core::InspectWorker& action) {
  const auto found = processes_.find(action.worker);
  if (found == processes_.end() || !found->second.alive) return;
  Process& process = found->second;
  core::Inspected seen;
  seen.worker = action.worker;
  if (!process.hangs) process.beat = now_;
  seen.beat = process.beat;
  if (!good_times_ && process.spec.request_timeout > Duration::zero()) {
    if (process.slow && chance(20)) process.slow.reset();
    if (!process.slow && chance(20)) process.slow = now_ - milliseconds(pick(500));
    if (process.slow) {
      seen.requests.push_back({1, *process.slow, "GET /slow"});
      seen.free_threads = static_cast<std::uint32_t>(pick(3));
    }
  }
  if (!good_times_ && process.spec.max_memory > 0 && chance(10)) seen.rss = 200U << 20U;
  feed(seen);
}

void CoreWorld::execute(const core::LoadSettings&) {
  check(!load_outstanding_, "settings are read one at a time");
  load_outstanding_ = true;
  if (!good_times_ && chance(15)) {
    schedule(between(0, 500), core::SettingsFailed{"bad settings"});
  } else {
    schedule(between(0, 500), core::SettingsLoaded{chance(30) ? make_settings() : settings_});
  }
}

void CoreWorld::execute(const core::BeginGeneration& action) {
  check(action.generation > committed_[action.pool], "generations only rise");
  const auto spec = std::ranges::find(settings_, action.pool, &PoolSpec::name);
  check(spec != settings_.end(), "a generation is begun with settings");
  if (spec != settings_.end()) generations_[action.pool][action.generation] = *spec;
  if (!good_times_ && action.generation > 1 && chance(30)) broken_code_.insert(action.generation);
}

void CoreWorld::execute(const core::CommitGeneration& action) {
  check(!over_[action.pool].contains(action.generation), "an abandoned generation isn't committed");
  if (committed_[action.pool] != 0) over_[action.pool].insert(committed_[action.pool]);
  committed_[action.pool] = action.generation;
}

void CoreWorld::execute(const core::AbandonGeneration& action) {
  check(action.generation != committed_[action.pool], "a committed generation isn't abandoned");
  over_[action.pool].insert(action.generation);
}

void CoreWorld::execute(const core::ClosePool& action) {
  for (const auto& [id, process] : processes_) {
    check(process.pool != action.pool || !process.alive, "a pool is closed with its last worker");
  }
  generations_.erase(action.pool);
  over_.erase(action.pool);
  committed_.erase(action.pool);
}

void CoreWorld::execute(const core::Publish& action) {
  const core::Record& record = action.record;
  if (record.kind != core::RecordKind::kWorkerExited) return;
  check(record.worker && record.cause, "the record of an end names the worker and the cause");
  if (!record.worker) return;
  Process& process = processes_.at(*record.worker);
  ++process.records;
  check(process.records == 1 && !process.alive, "an end is recorded once, when it was seen");
}

void CoreWorld::execute(const core::PublishWithStack& action) {
  const core::Record& record = action.record;
  check(record.worker && processes_.at(*record.worker).alive, "a slow request is in a live worker");
  if (!record.worker) return;
  Process& process = processes_.at(*record.worker);
  check(process.slow_told.insert(process.slow.value_or(TimePoint{})).second,
        "a slow request is told of once");
  check(action.patience < process.spec.request_timeout, "the stack is there before the limit");
}

void CoreWorld::execute(const core::Reply& action) {
  check(unanswered_.erase(action.id) == 1, "every command gets one reply");
}

void CoreWorld::execute(const core::Progress& action) {
  check(unanswered_.contains(action.id), "progress is told to those who wait");
}

void CoreWorld::execute(const core::Accepted& action) {
  check(unanswered_.contains(action.id), "acceptance is told to those who wait");
}

void CoreWorld::execute(const core::ReopenLogs& action) {
  feed(core::LogsReopened{action.id, action.id.value % 3 == 0 ? "no space" : ""});
}

void CoreWorld::execute(const core::CheckUpgrade&) {
  schedule(between(1, 300), core::UpgradeChecked{good_times_ || chance(70), "2.0"});
}

void CoreWorld::execute(const core::ExecUpgrade&) { exec_ordered_ = true; }

void CoreWorld::execute(const core::SetPhase& action) {
  check(phase_ != core::Phase::kStopping, "stopping is final");
  check(phase_ != action.phase, "a phase is told when it changes");
  phase_ = action.phase;
}

void CoreWorld::execute(const core::ExitArbiter& action) {
  exit_ = action.status;
  for (const auto& [id, process] : processes_) {
    check(!process.alive, "the arbiter exits with its last worker");
  }
}

}  // namespace corn::fakes
