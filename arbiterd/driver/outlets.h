// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "arbiterd/config/settings.h"
#include "arbiterd/core/types.h"
#include "arbiterd/driver/pool_runtime.h"
#include "base/log_outlets.h"

namespace corn::driver {

// Where the arbiter's log goes beside its file, and what metrics say of its pools: gunicorn.workers
// and gunicorn.backlog. Pools that send to the same server under the same names are one sum there.
// Loop thread only.
class Outlets {
 public:
  static constexpr base::Duration kBacklogInterval = std::chrono::seconds(1);

  // Opens what the settings want and isn't open yet. May wait for the name service.
  void adopt(const config::Settings& settings);

  // Whether anybody is to be told of workers.
  [[nodiscard]] bool counts_workers() const { return !servers_.empty(); }
  // Tells the numbers of workers that have changed.
  void tell_workers(const core::Snapshot& snapshot);

  [[nodiscard]] bool measures_backlog() const { return measures_backlog_; }
  void tell_backlog(const std::map<std::string, PoolRuntime>& pools) const;

 private:
  struct Server {
    base::StatsdOptions options;
    std::shared_ptr<base::Statsd> statsd;
    std::optional<std::uint64_t> workers;  // as told last
  };
  struct Target {
    std::size_t server = 0;
    bool backlog = false;
  };
  std::optional<std::size_t> server_for(const base::StatsdOptions& options,
                                        std::vector<Server>& before);

  base::StatsdOptions statsd_;
  base::SyslogOptions syslog_;
  base::LogOutlets log_;
  std::vector<Server> servers_;
  std::map<std::string, Target> targets_;  // by pool
  bool measures_backlog_ = false;
};

}  // namespace corn::driver
