// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "base/worker_config.h"
#include "workerd/link/adoption.h"
#include "workerd/process/child.h"

namespace corn::process {

// A worker's descriptors beside its channel. They are not for programs that the application starts,
// nor for processes that it forks, while it is loaded included.
struct Descriptors {
  base::UniqueFd scoreboard;
  std::vector<base::UniqueFd> listeners;  // as config.listeners
  std::vector<base::UniqueFd> hand_off;   // the queue's ends, first that for sending; or none
  base::UniqueFd error_log;               // empty: not a file, or not passed
  base::UniqueFd access_log;              // likewise
  base::UniqueFd adoption_directory;      // or none
  base::UniqueFd departures;              // or none

  // Inherited by number, or as they came. Fails when there are fewer than `config` says.
  static base::Result<Descriptors> take(const base::WorkerConfig& config, Inheritance& inheritance);

  // Copies, for the arbiterd that may adopt the worker; what concerns only that goes along.
  [[nodiscard]] base::Result<link::Estate> make_estate(const base::WorkerConfig& config);
};

// Closes what the estate held.
void close_copies(std::vector<base::UniqueFd> listeners);

}  // namespace corn::process
