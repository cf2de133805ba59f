// SPDX-License-Identifier: Apache-2.0
// What the arbiter shows of itself.
#include <fmt/core.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "arbiterd/driver/arbiter.h"
#include "arbiterd/driver/names.h"

namespace corn::driver {
namespace {

double seconds(base::Duration duration) { return std::chrono::duration<double>(duration).count(); }

// Of a listening TCP socket, tcpi_unacked is the accept queue's length and tcpi_sacked its limit
// (Linux, tcp_get_info). The kernel shows neither for unix sockets.
ListenerStatus listener_status(const os::Listener& listener) {
  ListenerStatus status;
  const std::string& url = listener.info().url;
  const std::size_t scheme = url.find("://");
  status.address = scheme == std::string::npos ? url : url.substr(scheme + 3);
  tcp_info info{};
  socklen_t size = sizeof(info);
  if (!listener.info().unix_socket &&
      ::getsockopt(listener.descriptor(), IPPROTO_TCP, TCP_INFO, &info, &size) == 0) {
    status.backlog_used = info.tcpi_unacked;
    status.backlog_limit = info.tcpi_sacked;
  }
  return status;
}

std::string pool_state(core::Phase phase, const core::PoolSnapshot& pool) {
  switch (phase) {
    case core::Phase::kDormant:
    case core::Phase::kStopping:
      return state_of(phase);
    case core::Phase::kStarting:
    case core::Phase::kServing:
    case core::Phase::kReloading:
      break;
  }
  if (pool.degraded) return "DEGRADED";
  return pool.ready == 0 ? "STARTING" : "SERVING";
}

}  // namespace

StatusSnapshot Arbiter::status() const {
  const core::Snapshot core = supervisor_.snapshot();
  StatusSnapshot result;
  ArbiterStatus& arbiter = result.arbiter;
  arbiter.pid = ::getpid();
  arbiter.version = CORN_VERSION;
  arbiter.instance = instance_;
  arbiter.state = state_of(core.phase);
  arbiter.started_at = started_at_;
  arbiter.uptime_seconds = seconds(loop_->now() - started_);
  arbiter.reloads = core.reloads;
  arbiter.upgrades = upgrades_;
  arbiter.revision = history_.latest();
  for (const core::PoolSnapshot& pool : core.pools) result.pools.push_back(pool_status(pool));
  return result;
}

PoolStatus Arbiter::pool_status(const core::PoolSnapshot& pool) const {
  PoolStatus status;
  status.name = pool.name;
  status.state = pool_state(phase_, pool);
  status.target = pool.target;
  status.ready = pool.ready;
  status.generation = pool.generation;
  status.mixed = pool.mixed;
  status.restarts_total = pool.restarts;
  PoolTotals totals;
  if (const auto runtime = pools_.find(pool.name); runtime != pools_.end()) {
    totals = runtime->second.totals;
    if (const auto generation = runtime->second.generations.find(pool.generation);
        generation != runtime->second.generations.end()) {
      status.application = generation->second.settings.worker.application;
      status.worker_class = name_of(generation->second.settings.worker.worker_class);
      for (const ListenerPtr& listener : generation->second.listeners) {
        status.listeners.push_back(listener_status(*listener));
      }
    }
  }
  for (const core::WorkerSnapshot& worker : pool.workers) {
    status.workers.push_back(worker_status(worker, totals));
  }
  status.requests_total = totals.requests;
  status.errors_total = totals.errors;
  status.latency_p50_ms = totals.latency_ms(0.50);
  status.latency_p99_ms = totals.latency_ms(0.99);
  return status;
}

WorkerStatus Arbiter::worker_status(const core::WorkerSnapshot& worker, PoolTotals& totals) const {
  const base::TimePoint now = loop_->now();
  WorkerStatus status;
  status.id = worker.id;
  status.pid = worker.pid;
  status.generation = worker.generation;
  status.age = worker.age;
  status.age_seconds = seconds(now - worker.spawned_at);
  status.last_event = worker.last_event;
  switch (worker.state) {
    case core::WorkerState::kBooting:
      status.state = ShownState::kBooting;
      break;
    case core::WorkerState::kReady:
      status.state = ShownState::kReady;
      break;
    case core::WorkerState::kDraining:
      status.state = ShownState::kDraining;
      break;
    case core::WorkerState::kStopping:
      status.state = ShownState::kStopping;
      break;
  }
  const auto found = workers_.find(worker.id);
  if (found == workers_.end()) return status;
  const base::ScoreboardView view = found->second.scoreboard.read(true);
  totals.add(view);
  status.requests = view.requests;
  status.errors = view.errors;
  status.in_flight = view.in_flight;
  status.connections = view.connections;
  status.rss_bytes = os::read_rss(worker.pid).value_or(0);
  base::Duration busy(static_cast<std::int64_t>(view.busy_nanoseconds));
  for (const base::SlotView& slot : view.slots) {
    if (!slot.request_start) continue;
    const base::Duration running = std::max(now - *slot.request_start, base::Duration(0));
    busy += running;
    status.active.push_back({slot.thread_id, slot.method, slot.target, running});
  }
  const double available =
      worker.ready_at ? seconds(now - *worker.ready_at) * found->second.threads : 0;
  status.busy = available > 0 ? std::clamp(seconds(busy) / available, 0.0, 1.0) : 0;
  if (status.state == ShownState::kReady && view.in_flight >= found->second.threads) {
    status.state = ShownState::kBusy;
  }
  return status;
}

std::vector<EffectiveSetting> Arbiter::effective_settings() const {
  std::vector<EffectiveSetting> result;
  const auto append = [&](const std::string& pool, const auto& values) {
    for (const config::EffectiveValue& value : values) {
      result.push_back({pool, value.name, value.value, value.origin});
    }
  };
  append("", loaded_.settings.arbiter.effective);
  // Those that serve, not those of a reload that failed or is on trial.
  for (const core::PoolSnapshot& pool : supervisor_.snapshot().pools) {
    const auto runtime = pools_.find(pool.name);
    if (runtime == pools_.end()) continue;
    const auto generation = runtime->second.generations.find(pool.generation);
    if (generation == runtime->second.generations.end()) continue;
    append(pool.name, generation->second.settings.effective);
  }
  return result;
}

}  // namespace corn::driver
