// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/control/convert.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>

#include "arbiterd/control/text.h"

namespace corn::control {
namespace {

std::uint32_t narrow(std::uint64_t value) {
  return static_cast<std::uint32_t>(
      std::min<std::uint64_t>(value, std::numeric_limits<std::uint32_t>::max()));
}

// What a worker wrote into its scoreboard isn't trusted to be a number.
double finite(double value) { return std::isfinite(value) ? value : 0; }

void set_timestamp(driver::WallTime time, google::protobuf::Timestamp& message) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  message.set_seconds(seconds.time_since_epoch().count());
  message.set_nanos(static_cast<std::int32_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(time - seconds).count()));
}

api::WorkerStatus::State to_message(driver::ShownState state) {
  switch (state) {
    case driver::ShownState::kBooting:
      return api::WorkerStatus::BOOTING;
    case driver::ShownState::kReady:
      return api::WorkerStatus::READY;
    case driver::ShownState::kBusy:
      return api::WorkerStatus::BUSY;
    case driver::ShownState::kDraining:
      return api::WorkerStatus::DRAINING;
    case driver::ShownState::kStopping:
      return api::WorkerStatus::STOPPING;
  }
  return api::WorkerStatus::STATE_UNSPECIFIED;
}

api::Event::Kind to_message(core::RecordKind kind) {
  switch (kind) {
    case core::RecordKind::kWorkerSpawned:
      return api::Event::WORKER_SPAWNED;
    case core::RecordKind::kWorkerReady:
      return api::Event::WORKER_READY;
    case core::RecordKind::kWorkerRetiring:
      return api::Event::WORKER_RETIRING;
    case core::RecordKind::kWorkerDraining:
      return api::Event::WORKER_DRAINING;
    case core::RecordKind::kWorkerStuck:
      return api::Event::WORKER_STUCK;
    case core::RecordKind::kWorkerExited:
      return api::Event::WORKER_EXITED;
    case core::RecordKind::kReloadStarted:
      return api::Event::RELOAD_STARTED;
    case core::RecordKind::kReloadSucceeded:
      return api::Event::RELOAD_SUCCEEDED;
    case core::RecordKind::kReloadFailed:
      return api::Event::RELOAD_FAILED;
    case core::RecordKind::kScaled:
      return api::Event::SCALED;
    case core::RecordKind::kPoolDegraded:
      return api::Event::POOL_DEGRADED;
    case core::RecordKind::kPoolRecovered:
      return api::Event::POOL_RECOVERED;
    case core::RecordKind::kDormant:
      return api::Event::DORMANT;
    case core::RecordKind::kShutdownStarted:
      return api::Event::SHUTDOWN_STARTED;
    case core::RecordKind::kLogsReopened:
      return api::Event::LOGS_REOPENED;
    case core::RecordKind::kRefused:
      return api::Event::REFUSED;
    case core::RecordKind::kUpgradeStarted:
      return api::Event::UPGRADE_STARTED;
    case core::RecordKind::kUpgradeFailed:
      return api::Event::UPGRADE_FAILED;
    case core::RecordKind::kUpgradeSucceeded:
      return api::Event::UPGRADE_SUCCEEDED;
    case core::RecordKind::kAdopted:
      return api::Event::ADOPTED;
    case core::RecordKind::kRequestSlow:
      return api::Event::REQUEST_SLOW;
  }
  return api::Event::KIND_UNSPECIFIED;
}

// "KILL"; a real-time signal has no such name and stays a number.
std::string signal_name(int signal) {
  const char* name = ::sigabbrev_np(signal);
  return name != nullptr ? name : std::to_string(signal);
}

// The contract's form: a crash names its signal.
std::string cause_text(const core::Record& record) {
  if (!record.cause) return {};
  std::string text = core::name_of(*record.cause);
  if (*record.cause == core::Cause::kCrashed && record.exit && record.exit->signal != 0) {
    text += "(" + signal_name(record.exit->signal) + ")";
  }
  return text;
}

void fill(const driver::ArbiterStatus& status, api::ArbiterStatus& message) {
  message.set_pid(status.pid);
  message.set_version(status.version);
  message.set_instance(clean_text(status.instance));
  api::ArbiterStatus::State state = api::ArbiterStatus::STATE_UNSPECIFIED;
  if (api::ArbiterStatus::State_Parse(status.state, &state)) message.set_state(state);
  set_timestamp(status.started_at, *message.mutable_started_at());
  message.set_uptime_seconds(finite(status.uptime_seconds));
  message.set_reloads(status.reloads);
  message.set_upgrades(status.upgrades);
  message.set_revision(status.revision);
}

void fill(const driver::RequestStatus& request, api::RequestStatus& message) {
  message.set_thread_id(request.thread_id);
  message.set_method(clean_text(request.method, kLongestTarget));
  message.set_target(clean_text(request.target, kLongestTarget));
  message.set_running_seconds(std::chrono::duration<double>(request.running_for).count());
}

void fill(const driver::WorkerStatus& status, api::WorkerStatus& message) {
  message.set_id(status.id.value);
  message.set_pid(status.pid);
  message.set_state(to_message(status.state));
  message.set_generation(status.generation);
  message.set_age_seconds(finite(status.age_seconds));
  message.set_requests(status.requests);
  message.set_errors(status.errors);
  message.set_in_flight(narrow(status.in_flight));
  message.set_busy(std::clamp(finite(status.busy), 0.0, 1.0));
  message.set_rss_bytes(status.rss_bytes);
  message.set_connections(narrow(status.connections));
  message.set_last_event(clean_text(status.last_event));
  message.set_ordinal(status.age);
  for (const driver::RequestStatus& request : status.active) {
    fill(request, *message.add_active_requests());
  }
}

void fill(const driver::PoolStatus& status, api::PoolStatus& message) {
  message.set_name(clean_text(status.name));
  api::PoolStatus::State state = api::PoolStatus::STATE_UNSPECIFIED;
  if (api::PoolStatus::State_Parse(status.state, &state)) message.set_state(state);
  message.set_application(clean_text(status.application));
  message.set_worker_class(clean_text(status.worker_class));
  message.set_target(status.target);
  message.set_ready(status.ready);
  message.set_generation(status.generation);
  message.set_mixed(status.mixed);
  for (const driver::ListenerStatus& listener : status.listeners) {
    api::ListenerStatus& shown = *message.add_listeners();
    shown.set_address(clean_text(listener.address));
    shown.set_backlog_used(listener.backlog_used);
    shown.set_backlog_limit(listener.backlog_limit);
  }
  for (const driver::WorkerStatus& worker : status.workers) fill(worker, *message.add_workers());
  message.set_requests_total(status.requests_total);
  message.set_errors_total(status.errors_total);
  message.set_restarts_total(status.restarts_total);
  message.set_latency_p50_ms(finite(status.latency_p50_ms));
  message.set_latency_p99_ms(finite(status.latency_p99_ms));
}

}  // namespace

bool to_message(const driver::StatusSnapshot& snapshot, std::string_view pool,
                api::GetStatusResponse& message) {
  fill(snapshot.arbiter, *message.mutable_arbiter());
  bool found = pool.empty();
  for (const driver::PoolStatus& status : snapshot.pools) {
    if (!pool.empty() && status.name != pool) continue;
    fill(status, *message.add_pools());
    found = true;
  }
  return found;
}

bool to_message(const std::vector<driver::EffectiveSetting>& settings, std::string_view pool,
                api::GetConfigResponse& message) {
  bool found = pool.empty();
  for (const driver::EffectiveSetting& setting : settings) {
    if (!pool.empty() && !setting.pool.empty() && setting.pool != pool) continue;
    if (setting.pool == pool) found = true;
    api::GetConfigResponse::Setting& shown = *message.add_settings();
    shown.set_pool(clean_text(setting.pool));
    shown.set_name(clean_text(setting.name));
    shown.set_value(clean_text(setting.value));
    shown.set_origin(clean_text(setting.origin));
  }
  return found;
}

void to_message(const driver::WorkerDump& dump, api::DumpWorkerResponse& message) {
  message.set_pid(dump.pid);
  message.set_text(clean_text(dump.text));
  for (const driver::ThreadDump& thread : dump.threads) {
    api::DumpWorkerResponse::Thread& shown = *message.add_threads();
    shown.set_thread_id(thread.thread_id);
    shown.set_name(clean_text(thread.name));
    shown.set_state(clean_text({&thread.state, 1}));
    shown.set_wait_channel(clean_text(thread.wait_channel));
    shown.set_python_stack(clean_text(thread.python_stack));
    shown.set_native_stack(clean_text(thread.native_stack));
    if (thread.request) fill(*thread.request, *shown.mutable_request());
    if (thread.last_request) fill(*thread.last_request, *shown.mutable_last_request());
  }
}

api::Event to_message(const driver::HistoryEvent& event) {
  const core::Record& record = event.record;
  api::Event message;
  message.set_sequence(event.sequence);
  set_timestamp(event.time, *message.mutable_time());
  message.set_kind(to_message(record.kind));
  message.set_pool(clean_text(record.pool));
  message.set_worker_id(record.worker ? record.worker->value : 0);
  message.set_pid(record.pid);
  message.set_generation(record.generation);
  message.set_cause(cause_text(record));
  if (record.exit && record.exit->known) {
    api::Event::Exit& exit = *message.mutable_exit();
    exit.set_code(record.exit->code);
    if (record.exit->signal != 0) exit.set_signal(signal_name(record.exit->signal));
    exit.set_core_dumped(record.exit->core_dumped);
    exit.set_cpu_seconds(std::chrono::duration<double>(record.exit->cpu_time).count());
    exit.set_max_rss_bytes(record.exit->max_rss_bytes);
  }
  if (record.exit) {
    message.set_request(clean_text(record.exit->request));
    message.set_in_request(record.exit->in_request);
  }
  message.set_text(clean_text(record.text));
  return message;
}

}  // namespace corn::control
