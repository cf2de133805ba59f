// SPDX-License-Identifier: Apache-2.0
#include "tests/fakes/core_world.h"

#include <fmt/core.h>

#include <algorithm>
#include <csignal>

#include "tests/scenarios/print.h"

namespace corn::fakes {

using core::Cause;
using core::CommandId;
using core::Duration;
using core::PoolSpec;
using core::TimePoint;
using core::WorkerId;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr std::size_t kLogLines = 80;

}  // namespace

CoreWorld::CoreWorld(std::uint64_t seed, bool keep_log)
    : random_(seed),
      supervisor_(std::make_unique<core::Supervisor>(seed)),
      now_(std::chrono::hours(1)),
      keep_log_(keep_log) {
  settings_ = make_settings();
  feed(core::Start{settings_});
}

std::uint64_t CoreWorld::pick(std::uint64_t limit) { return random_() % limit; }

Duration CoreWorld::between(std::int64_t from_ms, std::int64_t to_ms) {
  return milliseconds(from_ms +
                      static_cast<std::int64_t>(pick(static_cast<std::uint64_t>(to_ms - from_ms))));
}

PoolSpec CoreWorld::make_spec(const std::string& name) {
  PoolSpec spec;
  spec.name = name;
  spec.workers = 1 + static_cast<std::uint32_t>(pick(6));
  spec.timeout = chance(15) ? seconds(0) : seconds(1 + pick(10));
  spec.boot_timeout = seconds(2 + pick(10));
  spec.graceful_timeout = seconds(pick(10));
  if (chance(30)) spec.request_timeout = seconds(1 + pick(5));
  if (chance(70)) spec.request_warning = spec.request_timeout * 4 / 5;
  if (chance(20)) spec.max_lifetime = seconds(10 + pick(60));
  if (chance(20)) spec.max_memory = 100U << 20U;
  if (chance(40)) {
    spec.reload_surge_percent = chance(50);
    spec.reload_surge = static_cast<std::uint32_t>(spec.reload_surge_percent ? pick(150) : pick(4));
  }
  if (chance(20)) spec.handover = core::Handover::kExclusive;
  if (chance(30)) spec.restart_intensity = 1 + static_cast<std::uint32_t>(pick(5));
  return spec;
}

std::vector<PoolSpec> CoreWorld::make_settings() {
  std::vector<PoolSpec> specs;
  for (const char* name : {"web", "api", "jobs"}) {
    if (!chance(60)) continue;
    const auto same = std::ranges::find(settings_, std::string(name), &PoolSpec::name);
    specs.push_back(same != settings_.end() && chance(60) ? *same : make_spec(name));
  }
  if (specs.empty()) specs.push_back(make_spec("web"));
  return specs;
}

void CoreWorld::schedule(Duration delay, core::Event event) {
  scheduled_.emplace(now_ + delay, std::move(event));
}

void CoreWorld::schedule_exit(WorkerId id, Duration delay, int code, int signal) {
  core::ExitStatus status;
  status.code = code;
  status.signal = signal;
  schedule(delay, core::WorkerExited{id, status,
                                     signal == SIGKILL && chance(10) ? core::OutOfMemory::kInferred
                                                                     : core::OutOfMemory::kNo});
}

std::optional<WorkerId> CoreWorld::some_worker() {
  if (alive_.empty()) return std::nullopt;
  return *std::next(alive_.begin(), static_cast<std::ptrdiff_t>(pick(alive_.size())));
}

void CoreWorld::live(Duration duration) { run_until(now_ + duration, true); }

void CoreWorld::calm_down(Duration duration) {
  good_times_ = true;
  broken_code_.clear();
  for (auto& [id, process] : processes_) {
    if (!process.alive || !process.hangs) continue;
    process.hangs = false;
    process.beat = now_;
    if (!process.ready) schedule(milliseconds(1), core::WorkerReady{id});
  }
  // Dormancy would hide what is to be seen.
  feed(core::CommandReceived{CommandId{}, core::ReloadCommand{}});
  run_until(now_ + duration, false);
}

void CoreWorld::terminate() {
  if (exit_) return;
  feed(core::CommandReceived{CommandId{}, core::ShutdownCommand{chance(30)}});
  run_until(now_ + seconds(60), false);
  check(exit_.has_value(), "TERM is always followed by the arbiter's exit");
  check(unanswered_.empty(), "every command is answered before the arbiter exits");
  for (const auto& [id, process] : processes_) {
    check(process.records == 1, "a worker has one record of its end", id);
  }
}

void CoreWorld::check_settled() {
  if (exit_) return;
  check(unanswered_.empty(), "no command waits for ever");
  for (const core::PoolSnapshot& pool : supervisor_->snapshot().pools) {
    check(!pool.dormant && !pool.leaving, "a pool serves");
    const bool exclusive = std::ranges::any_of(settings_, [&pool](const PoolSpec& spec) {
      return spec.name == pool.name && spec.handover == core::Handover::kExclusive;
    });
    const std::uint32_t recycling = (pool.target + 3) / 4;
    check(pool.ready >= pool.target - (exclusive ? recycling : 0) &&
              pool.ready <= pool.target + recycling,
          "a pool has its target");
    check(!pool.mixed, "a pool is of one generation");
    check(pool.workers.size() <= pool.target + recycling + 4, "a pool has no stray workers");
    check(!pool.degraded, "a pool has recovered");
  }
  check(phase_ == core::Phase::kServing, "the instance serves");
}

void CoreWorld::run_until(TimePoint end, bool with_misfortune) {
  while (broken_.empty() && !exit_) {
    TimePoint next = end;
    const auto deadline = supervisor_->next_deadline();
    if (deadline) next = std::min(next, *deadline);
    if (!scheduled_.empty()) next = std::min(next, scheduled_.begin()->first);
    const TimePoint mischief = now_ + between(1, 700);
    if (with_misfortune) next = std::min(next, mischief);
    now_ = std::max(now_, next);
    if (now_ >= end) return;
    if (!scheduled_.empty() && scheduled_.begin()->first <= now_) {
      const core::Event event = scheduled_.extract(scheduled_.begin()).mapped();
      feed(event);
    } else if (deadline && *deadline <= now_) {
      feed(core::DeadlineReached{});
    } else if (with_misfortune) {
      misfortune();
    }
  }
}

void CoreWorld::misfortune() {
  if (chance(35)) {
    command();
    return;
  }
  if (phase_ != core::Phase::kStarting && phase_ != core::Phase::kStopping && chance(3)) {
    succeed(false);
    return;
  }
  const auto id = some_worker();
  if (!id) return;
  Process& process = processes_.at(*id);
  switch (pick(8)) {
    case 0:
      schedule_exit(*id, milliseconds(0), 0, SIGKILL);
      break;
    case 1:
      schedule_exit(*id, milliseconds(0), 0, SIGSEGV);
      break;
    case 2:
      if (process.ready && process.spec.timeout > Duration::zero()) process.hangs = true;
      break;
    case 3:
      feed(core::WorkerRetiring{*id, Cause::kMaxRequests});
      break;
    case 4:
      feed(core::WorkerReady{*id});  // too early, too late or once more
      break;
    case 5: {
      core::Inspected scribble;
      scribble.worker = *id;
      scribble.beat = now_ + seconds(5);
      scribble.requests.push_back({7, now_ + seconds(7), ""});
      scribble.rss = chance(20) ? 200U << 20U : 0;
      process.beat = now_;
      feed(scribble);
      break;
    }
    case 6:
      feed(core::WorkerExited{WorkerId{id->value + 1000}, {}, core::OutOfMemory::kNo});
      break;
    default:
      schedule_exit(*id, milliseconds(0), 1, 0);
      break;
  }
}

void CoreWorld::command() {
  CommandId id;
  if (chance(60)) {
    id = CommandId{++last_command_};
    unanswered_.insert(id);
  }
  const std::string pool = chance(50) ? "" : std::string(chance(50) ? "web" : "api");
  core::Command command = core::ReopenLogsCommand{};
  const std::uint64_t kind = pick(100);
  if (kind < 25) {
    command = core::ReloadCommand{pool};
  } else if (kind < 60) {
    const bool relative = chance(70);
    const std::int64_t amount = static_cast<std::int64_t>(pick(relative ? 5 : 8));
    command = core::ScaleCommand{pool, relative, relative ? amount - 2 : amount};
  } else if (kind < 85) {
    const auto worker = some_worker();
    command = core::StopWorkerCommand{worker.value_or(WorkerId{999999}), chance(40)};
  } else if (kind < 90) {
    command = core::DormantCommand{};
  } else if (kind < 95) {
    command = core::UpgradeCommand{};
  }
  feed(core::CommandReceived{id, std::move(command)});
}

void CoreWorld::feed(core::Event event) {
  pending_.push_back(std::move(event));
  if (feeding_) return;
  feeding_ = true;
  while (!pending_.empty() && broken_.empty()) {
    const core::Event next = std::move(pending_.front());
    pending_.pop_front();
    handle(next);
  }
  feeding_ = false;
  check_deadlines();
  if (std::exchange(exec_ordered_, false)) {
    if (chance(30)) {
      feed(core::UpgradeFailed{"out of memory"});
    } else {
      succeed(true);
    }
  }
}

// Another arbiter goes on: in the same process, or after the death of this one.
void CoreWorld::succeed(bool upgraded) {
  core::Resume resume;
  resume.inheritance = supervisor_->inheritance();
  if (chance(30)) settings_ = make_settings();
  resume.pools = settings_;
  resume.kind = upgraded ? core::RecordKind::kUpgradeSucceeded : core::RecordKind::kAdopted;
  resume.reload = upgraded || chance(50);
  supervisor_ = std::make_unique<core::Supervisor>(pick(1000));
  phase_ = core::Phase::kStarting;
  unanswered_.clear();
  load_outstanding_ = false;
  std::erase_if(scheduled_, [](const auto& one) {
    return std::holds_alternative<core::SettingsLoaded>(one.second) ||
           std::holds_alternative<core::SettingsFailed>(one.second) ||
           std::holds_alternative<core::UpgradeChecked>(one.second);
  });
  committed_.clear();
  promised_.clear();
  for (const core::InheritedPool& pool : resume.inheritance.pools) {
    for (const auto& [generation, spec] : generations_[pool.name]) {
      if (generation != pool.generation) over_[pool.name].insert(generation);
    }
    for (const core::InheritedWorker& worker : pool.workers) inherit(worker);
  }
  feed(std::move(resume));
}

// What is promised about a worker that is there already: every deadline begins anew.
void CoreWorld::inherit(const core::InheritedWorker& left) {
  Process& process = processes_.at(left.id);
  const auto spec = std::ranges::find(settings_, process.pool, &PoolSpec::name);
  process.spec = spec != settings_.end() ? *spec : PoolSpec{};
  process.ordered_at = now_;
  process.beat = now_;
  process.kill_ordered = false;
  process.killed_by.reset();
  process.drains = left.state == core::WorkerState::kDraining;
  process.told_last = false;  // isn't passed on, and may be told once more
  process.told =
      left.state == core::WorkerState::kDraining || left.state == core::WorkerState::kStopping;
  if (!process.told) return;
  process.killed_by = now_ + seconds(1);
  if (left.state == core::WorkerState::kDraining) {
    *process.killed_by += process.spec.graceful_timeout;
  }
}

void CoreWorld::handle(const core::Event& event) {
  ++event_count_;
  if (const auto* exited = std::get_if<core::WorkerExited>(&event)) {
    const auto found = processes_.find(exited->worker);
    if (found != processes_.end()) {
      if (!found->second.alive) return;  // a process ends once, whatever was planned for it
      found->second.alive = false;
      alive_.erase(exited->worker);
      if (keep_log_) note(fmt::format("  (w{} ends)\n", exited->worker.value));
    }
  }
  if (const auto* ready = std::get_if<core::WorkerReady>(&event)) {
    const auto found = processes_.find(ready->worker);
    if (found != processes_.end()) {
      if (!found->second.alive || found->second.hangs) return;
      found->second.ready = true;
      found->second.beat = now_;
      // It became ready before it was told to go: it has the time of one that drains.
      if (std::exchange(found->second.called_off, false) && !found->second.kill_ordered) {
        found->second.drains = true;
        found->second.killed_by = now_ + found->second.spec.graceful_timeout + seconds(1);
        if (good_times_) schedule_exit(ready->worker, between(1, 3000), 0, 0);
      }
    }
  }
  if (const auto* failed = std::get_if<core::WorkerBootFailed>(&event)) {
    if (!processes_.at(failed->worker).alive) return;
  }
  if (const auto* loaded = std::get_if<core::SettingsLoaded>(&event)) {
    settings_ = loaded->pools;
    load_outstanding_ = false;
  } else if (std::holds_alternative<core::SettingsFailed>(event)) {
    load_outstanding_ = false;
  }
  if (keep_log_) {
    const std::chrono::duration<double> time = now_.time_since_epoch() - std::chrono::hours(1);
    note(fmt::format("{:.3f} event {}\n", time.count(), event.index()));
  }
  drained_.clear();
  for (const core::Action& action : supervisor_->on_event(event, now_)) {
    if (keep_log_) note(scenarios::print(action));
    check(!exit_ || std::holds_alternative<core::Reply>(action), "nothing follows the exit");
    std::visit([this](const auto& one) { execute(one); }, action);
  }
  const auto deadline = supervisor_->next_deadline();
  check(!deadline || *deadline > now_, "the next deadline is in the future");
  check_able_to_serve(drained_);
  note_promises();
}

void CoreWorld::check_deadlines() {
  for (const WorkerId id : alive_) {
    const Process& process = processes_.at(id);
    if (process.kill_ordered) continue;
    if (process.killed_by) {
      check(now_ <= *process.killed_by, "a worker is killed when its grace is over", id);
    } else if (!process.ready && !process.told) {
      check(now_ <= process.ordered_at + process.spec.boot_timeout,
            "a worker is put down at its boot time-out", id);
    }
    if (process.ready && process.hangs && process.spec.timeout > Duration::zero() &&
        (!process.told || process.killed_by)) {
      // Told to die within less than its time-out is as good.
      check(now_ <= process.beat + process.spec.timeout || process.killed_by,
            "a worker is put down when it has been silent", id);
    }
  }
}

// How many are to be able to serve: the target, but not more than it was before the generation that
// is on trial, which may bring a larger one.
void CoreWorld::note_promises() {
  for (const core::PoolSnapshot& pool : supervisor_->snapshot().pools) {
    const bool on_trial = std::ranges::any_of(generations_[pool.name], [&](const auto& generation) {
      return generation.first > committed_[pool.name] &&
             !over_[pool.name].contains(generation.first);
    });
    std::uint32_t& promised = promised_[pool.name];
    promised = on_trial ? std::min(promised, pool.target) : pool.target;
  }
}

// Nobody is retired for a reload, for recycling or by a restart unless as many as wanted are ready.
void CoreWorld::check_able_to_serve(const std::vector<core::DrainWorker>& drained) {
  if (drained.empty()) return;
  const core::Snapshot snapshot = supervisor_->snapshot();
  for (const core::DrainWorker& drain : drained) {
    if (drain.cause == Cause::kShutdown || drain.cause == Cause::kScaledDown) continue;
    const Process& process = processes_.at(drain.worker);
    if (committed_[process.pool] == 0 || process.spec.handover == core::Handover::kExclusive)
      continue;
    for (const core::PoolSnapshot& pool : snapshot.pools) {
      if (pool.name != process.pool || pool.leaving) continue;
      const bool exclusive = std::ranges::any_of(pool.workers, [&](const auto& worker) {
        return processes_.at(worker.id).spec.handover == core::Handover::kExclusive;
      });
      const bool exclusive_on_trial =
          std::ranges::any_of(generations_[pool.name], [](const auto& generation) {
            return generation.second.handover == core::Handover::kExclusive;
          });
      const std::uint32_t wanted_ready = std::min(pool.target, promised_[pool.name]);
      check(exclusive || exclusive_on_trial || pool.ready >= wanted_ready,
            "a pool can serve with all it is to have when a worker retires", drain.worker);
    }
  }
}

void CoreWorld::check(bool holds, const char* what, WorkerId worker) {
  if (holds || !broken_.empty()) return;
  broken_ = fmt::format("broken: {} (w{})\n", what, worker.value);
  for (const std::string& line : log_) broken_ += line;
}

void CoreWorld::note(const std::string& line) {
  log_.push_back(line);
  if (log_.size() > kLogLines) log_.pop_front();
}

}  // namespace corn::fakes
