// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/core/supervisor.h"

#include <fmt/core.h>

#include <algorithm>

#include "arbiterd/core/state.h"

namespace corn::core {
namespace {

// arbiterd's exit status when no worker can boot.
int exit_status_of(base::BootFailure kind) {
  switch (kind) {
    case base::BootFailure::kWorker:
      return 3;
    case base::BootFailure::kApplication:
      return 4;
  }
  return 3;
}

}  // namespace

Supervisor::Supervisor(std::uint64_t seed) : state_(std::make_unique<State>(seed)) {}
Supervisor::~Supervisor() = default;

Actions Supervisor::on_event(const Event& event, TimePoint now) {
  Turn turn(now);
  std::visit([this, &turn](const auto& one) { state_->take(one, turn); }, event);
  state_->conclude(turn);
  return turn.take();
}

std::optional<TimePoint> Supervisor::next_deadline() const { return state_->next_deadline(); }

Snapshot Supervisor::snapshot() const { return state_->snapshot(); }

void Supervisor::State::take(const Start& event, Turn& turn) {
  if (begun_ || stopping_) return;
  begun_ = true;
  pools_.ids().start_after(event.last_worker);
  for (const PoolSpec& spec : event.pools) pools_.add(spec.name).start(spec, turn);
}

void Supervisor::State::take(const Spawned& event, Turn& turn) {
  const auto [pool, worker] = pools_.find_worker(event.worker);
  if (worker != nullptr) pool->spawned(*worker, event.pid, turn);
}

void Supervisor::State::take(const SpawnFailed& event, Turn& turn) {
  const auto [pool, worker] = pools_.find_worker(event.worker);
  if (worker != nullptr) pool->spawn_failed(*worker, event.text, turn);
}

void Supervisor::State::take(const WorkerReady& event, Turn& turn) {
  const auto [pool, worker] = pools_.find_worker(event.worker);
  if (worker != nullptr) pool->ready(*worker, turn);
}

void Supervisor::State::take(const WorkerBootFailed& event, Turn& turn) {
  const auto [pool, worker] = pools_.find_worker(event.worker);
  if (worker != nullptr) pool->boot_failed(*worker, event.kind, event.text, turn);
}

void Supervisor::State::take(const WorkerRetiring& event, Turn& turn) {
  const auto [pool, worker] = pools_.find_worker(event.worker);
  if (worker != nullptr) pool->retiring(*worker, event.cause, turn);
}

void Supervisor::State::take(const Inspected& event, Turn& turn) {
  const auto [pool, worker] = pools_.find_worker(event.worker);
  if (worker != nullptr) pool->inspected(*worker, event, turn);
}

void Supervisor::State::take(const WorkerExited& event, Turn& turn) {
  const auto [pool, worker] = pools_.find_worker(event.worker);
  if (worker != nullptr) pool->exited(*worker, event.status, event.out_of_memory, turn);
}

void Supervisor::State::take(const SettingsLoaded& event, Turn& turn) {
  reloads_.settings_loaded(event.pools, turn);
}

void Supervisor::State::take(const SettingsFailed& event, Turn& turn) {
  reloads_.settings_failed(event.text, turn);
}

void Supervisor::State::take(const DeadlineReached&, Turn&) {}

void Supervisor::State::conclude(Turn& turn) {
  if (exited_) return;
  for (const auto& pool : pools_.all()) pool->expire(turn);
  for (const auto& pool : pools_.all()) pool->balance(turn);
  for (const auto& pool : pools_.all()) pool->settle(turn);
  reloads_.settle(turn);
  if (!stopping_) check_first_boot(turn);
  if (!stopping_) pools_.close_removed(turn);

  if (const Phase phase = find_phase(); phase != phase_) {
    phase_ = phase;
    turn.order(SetPhase{phase});
  }
  const bool all_gone =
      std::ranges::all_of(pools_.all(), [](const auto& pool) { return pool->empty(); });
  if (stopping_ && all_gone) {
    exited_ = true;
    turn.order(ExitArbiter{exit_status_, exit_text_});
  }
}

void Supervisor::State::check_first_boot(Turn& turn) {
  const std::vector<Pool*> pools = pools_.present();
  const bool any = std::ranges::any_of(pools, &Pool::could_not_boot);
  if (!any) return;
  if (!std::ranges::all_of(pools, &Pool::could_not_boot)) {
    for (Pool* pool : pools) {
      if (pool->could_not_boot()) pool->go_on_degraded(turn);
    }
    return;
  }
  for (const Pool* pool : pools) {
    const auto& failure = pool->first_failure();
    if (exit_status_ == 0) exit_status_ = exit_status_of(failure->kind);
    if (!exit_text_.empty()) exit_text_ += "\n";
    exit_text_ += fmt::format("pool {}: no worker can boot: {}", pool->name(), failure->text);
  }
  stop(true, "no worker can boot", turn);
}

Phase Supervisor::State::find_phase() {
  if (stopping_) return Phase::kStopping;
  const std::vector<Pool*> pools = pools_.present();
  if (!pools.empty() && std::ranges::all_of(pools, &Pool::dormant)) return Phase::kDormant;
  started_ = started_ || (begun_ && std::ranges::all_of(pools, [](const Pool* pool) {
                            return pool->started() || pool->dormant();
                          }));
  if (!started_) return Phase::kStarting;
  return reloads_.running() ? Phase::kReloading : Phase::kServing;
}

void Supervisor::State::stop(bool quick, const std::string& why, Turn& turn) {
  if (stopping_ && (quick_ || !quick)) return;
  stopping_ = true;
  quick_ = quick;
  Record record;
  record.kind = RecordKind::kShutdownStarted;
  record.text = why;
  turn.publish(std::move(record));
  reloads_.cancel(ReplyCode::kUnavailable, "the arbiter is shutting down", turn);
  // The phase goes out before the orders, so that watchers know why their workers leave.
  if (phase_ != Phase::kStopping) turn.order(SetPhase{Phase::kStopping});
  phase_ = Phase::kStopping;
  for (const auto& pool : pools_.all()) pool->stop(quick, turn);
}

std::optional<TimePoint> Supervisor::State::next_deadline() const {
  std::optional<TimePoint> next;
  for (const auto& pool : pools_.all()) {
    const auto time = pool->next_deadline();
    if (time) next = std::min(next.value_or(*time), *time);
  }
  return next;
}

Snapshot Supervisor::State::snapshot() const {
  Snapshot snapshot{phase_, reloads_.succeeded(), {}};
  for (const auto& pool : pools_.all()) snapshot.pools.push_back(pool->snapshot());
  return snapshot;
}

}  // namespace corn::core
