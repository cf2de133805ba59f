// SPDX-License-Identifier: Apache-2.0
// What a new arbiter takes over from the one before it: its own program's predecessor in the same
// process (upgrade in place), or an arbiter that died and left its workers behind (adoption).
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "arbiterd/driver/instance_state.h"
#include "arbiterd/driver/pool_runtime.h"
#include "base/channel.h"
#include "base/result.h"
#include "base/scoreboard.h"
#include "base/unique_fd.h"

namespace corn::driver {

struct InheritedProcess {
  base::Channel channel;           // empty: the worker hasn't been heard of yet
  base::ScoreboardMap scoreboard;  // empty likewise
  base::UniqueFd pidfd;            // empty: it has ended
  bool ready = false;              // what it says of itself, where it has been heard
  std::string retiring;
};

struct Estate {
  InstanceState state;
  bool upgraded = false;  // otherwise adopted
  // Its workers have all ended: nothing is taken over but the history.
  bool extinct = false;
  std::map<core::WorkerId, InheritedProcess> workers;
  // Each pool's listeners and totals, under its committed generation.
  std::map<std::string, PoolRuntime> pools;
  base::UniqueFd lock;  // the instance's, held through an upgrade
  base::UniqueFd log;   // the error log's file likewise; empty: standard error
  // Something that the settings want couldn't be had: to be tried, and told, by a reload.
  bool incomplete = false;
};

// The environment variable that names the descriptor of a sealed state: for the program that goes
// on with it, and for one that is only to check whether it could.
inline constexpr const char* kUpgradeVariable = "CORN_UPGRADE_FD";
inline constexpr const char* kCheckUpgradeVariable = "CORN_CHECK_UPGRADE_FD";

// The descriptor that `variable` names, and forgets the variable. nullopt: it isn't set.
std::optional<base::UniqueFd> take_state_descriptor(const char* variable);

// Reads a sealed state without touching the descriptors that it names.
base::Result<InstanceState> read_sealed_state(const base::UniqueFd& descriptor);

// Takes over everything that the program before this one has left open in this process, or, for one
// that is only tried, what of it is named in the state.
base::Result<Estate> take_over(InstanceState state);

// Finds out whether an arbiter of this instance has died and left workers, from its state file, and
// if so has them offer themselves, for up to two seconds. Workers that leave, or have left, without
// an order drain in the state that is returned. nullopt: there was none. The caller holds the
// instance's lock.
base::Result<std::optional<Estate>> adopt(const std::string& state_file,
                                          const std::string& adoption_socket);

}  // namespace corn::driver
