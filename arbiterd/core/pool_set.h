// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "arbiterd/core/pool.h"

namespace corn::core {

// The pools of an instance, in the order of the settings they came with.
class PoolSet {
 public:
  explicit PoolSet(std::uint64_t seed) : jitter_(seed) {}
  PoolSet(const PoolSet&) = delete;
  PoolSet& operator=(const PoolSet&) = delete;

  struct Found {
    Pool* pool = nullptr;
    Worker* worker = nullptr;
  };
  // Null members: no such worker (any more).
  [[nodiscard]] Found find_worker(WorkerId id);
  // A pool of this name, one on its way out included. Null: none.
  [[nodiscard]] Pool* find(std::string_view name);
  // A pool that commands may be given to; the one there is if `name` is empty.
  [[nodiscard]] Pool* find_present(std::string_view name);
  // Those that are not on their way out.
  [[nodiscard]] std::vector<Pool*> present();
  // "api, web", for messages.
  [[nodiscard]] std::string names();

  Pool& add(const std::string& name);
  [[nodiscard]] WorkerIds& ids() { return ids_; }
  [[nodiscard]] const WorkerIds& ids() const { return ids_; }
  // Takes leave of removed pools whose last worker has ended.
  void close_removed(Turn& turn);

  [[nodiscard]] const std::vector<std::unique_ptr<Pool>>& all() const { return pools_; }

 private:
  WorkerIds ids_;
  Jitter jitter_;
  std::vector<std::unique_ptr<Pool>> pools_;
};

}  // namespace corn::core
