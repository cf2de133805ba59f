// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/driver/outlets.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/log.h"

namespace corn::driver {
namespace {

// Connections that wait to be accepted; 0 where the kernel doesn't say (unix sockets).
std::uint64_t backlog_of(const os::Listener& listener) {
  if (listener.info().unix_socket) return 0;
  tcp_info info{};
  socklen_t size = sizeof info;
  if (::getsockopt(listener.descriptor(), IPPROTO_TCP, TCP_INFO, &info, &size) < 0) return 0;
  return info.tcpi_unacked;  // of a listening socket: the length of its queue (tcp_diag.c)
}

bool is_going(core::WorkerState state) {
  return state == core::WorkerState::kDraining || state == core::WorkerState::kStopping;
}

}  // namespace

std::optional<std::size_t> Outlets::server_for(const base::StatsdOptions& options,
                                               std::vector<Server>& before) {
  if (options.address.empty()) return std::nullopt;
  const auto same = [&](const Server& server) { return server.options == options; };
  if (const auto found = std::ranges::find_if(servers_, same); found != servers_.end()) {
    return static_cast<std::size_t>(found - servers_.begin());
  }
  if (const auto kept = std::ranges::find_if(before, same); kept != before.end()) {
    servers_.push_back(std::move(*kept));
    before.erase(kept);
  } else if (options == statsd_ && log_.statsd) {
    servers_.push_back({options, log_.statsd, std::nullopt});
  } else if (auto opened = base::Statsd::open(options)) {
    servers_.push_back({options, std::move(*opened), std::nullopt});
  } else {
    base::log_warning("{}; going on without", opened.error().message);
    return std::nullopt;
  }
  return servers_.size() - 1;
}

void Outlets::adopt(const config::Settings& settings) {
  const config::ArbiterSettings& arbiter = settings.arbiter;
  if (arbiter.statsd != statsd_ || arbiter.syslog != syslog_) {
    statsd_ = arbiter.statsd;
    syslog_ = arbiter.syslog;
    log_ = base::open_log_outlets(statsd_, syslog_);
    base::tell_log_outlets(log_);
  }
  std::vector<Server> before = std::exchange(servers_, {});
  targets_.clear();
  measures_backlog_ = false;
  for (const config::PoolSettings& pool : settings.pools) {
    const auto server = server_for(pool.worker.statsd, before);
    if (!server) continue;
    targets_[pool.spec.name] = {*server, pool.backlog_metric};
    measures_backlog_ = measures_backlog_ || pool.backlog_metric;
  }
}

void Outlets::tell_workers(const core::Snapshot& snapshot) {
  std::vector<std::uint64_t> workers(servers_.size());
  for (const core::PoolSnapshot& pool : snapshot.pools) {
    const auto target = targets_.find(pool.name);
    if (target == targets_.end()) continue;
    for (const core::WorkerSnapshot& worker : pool.workers) {
      if (!is_going(worker.state)) ++workers[target->second.server];
    }
  }
  for (std::size_t i = 0; i < servers_.size(); ++i) {
    if (servers_[i].workers == workers[i]) continue;
    servers_[i].workers = workers[i];
    servers_[i].statsd->gauge("gunicorn.workers", workers[i]);
  }
}

void Outlets::tell_backlog(const std::map<std::string, PoolRuntime>& pools) const {
  std::map<std::size_t, std::uint64_t> waiting;  // by server
  for (const auto& [name, target] : targets_) {
    const auto pool = pools.find(name);
    if (!target.backlog || pool == pools.end() || pool->second.generations.empty()) continue;
    for (const ListenerPtr& listener : pool->second.generations.rbegin()->second.listeners) {
      waiting[target.server] += backlog_of(*listener);
    }
  }
  for (const auto& [server, count] : waiting) {
    servers_[server].statsd->histogram("gunicorn.backlog", count);
  }
}

}  // namespace corn::driver
