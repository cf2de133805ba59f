// SPDX-License-Identifier: Apache-2.0
// What the driver keeps for each pool: settings and listeners by generation, and the totals of
// workers that are gone.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "arbiterd/config/settings.h"
#include "arbiterd/core/types.h"
#include "arbiterd/driver/log_files.h"
#include "arbiterd/os/hand_off_queue.h"
#include "arbiterd/os/listener.h"
#include "base/scoreboard.h"

namespace corn::driver {

using ListenerPtr = std::shared_ptr<os::Listener>;
using HandOffPtr = std::shared_ptr<const os::HandOffQueue>;

// Settings of a pool with its listeners open. A listener closes when no generation holds it any
// more.
struct PoolGeneration {
  config::PoolSettings settings;
  std::vector<ListenerPtr> listeners;
  std::vector<LogFilePtr> logs;  // as base::log_paths(settings.worker)
};

struct PoolTotals {
  std::uint64_t requests = 0;
  std::uint64_t errors = 0;
  std::array<std::uint64_t, base::kLatencyBuckets> latency{};

  void add(const base::ScoreboardView& view);
  // Of a worker that has ended: what was inside it then, which nobody else counts any more, was
  // cut off.
  void add_cut_off(const base::ScoreboardView& left, base::TimePoint ended);
  // Upper bound of the bucket in which the quantile lies, in milliseconds; 0 without requests.
  [[nodiscard]] double latency_ms(double quantile) const;
};

// The request that a worker which has ended was in, of several the oldest; else one that it was in
// last.
void note_last_request(const base::ScoreboardView& left, core::ExitStatus& end);

struct PoolRuntime {
  std::map<core::Generation, PoolGeneration> generations;
  // As long as the pool: connections in it outlive the workers that put them there.
  HandOffPtr hand_off;  // null: there is none
  PoolTotals totals;
};

// Closes the pool's listeners here, before its workers close theirs; those that another pool has
// too stay.
void stop_listening(PoolRuntime& pool);

// All settings as loaded last, listeners open, waiting for the core to begin generations with them.
struct LoadedSettings {
  config::Settings settings;
  std::map<std::string, PoolGeneration> pools;
};

// Opens the listeners of all pools. Those that `running` pools have already are shared, not opened
// again. `inherited`: sockets that socket activation has passed to this process; if there are none,
// those that an earlier process or `running` pools have from there go on. They serve the first pool
// instead of its `bind`, except those that another pool names by number.
// `missing`: takes down why an address can't be listened on, which then is left out; null: that is
// a failure.
base::Result<LoadedSettings> open_listeners(config::Settings settings,
                                            const std::map<std::string, PoolRuntime>& running,
                                            const std::vector<os::BindAddress>& inherited,
                                            std::vector<std::string>* missing = nullptr);

}  // namespace corn::driver
