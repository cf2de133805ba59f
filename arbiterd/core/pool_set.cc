// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/core/pool_set.h"

namespace corn::core {

PoolSet::Found PoolSet::find_worker(WorkerId id) {
  for (const auto& pool : pools_) {
    if (Worker* worker = pool->find(id)) return {pool.get(), worker};
  }
  return {};
}

Pool* PoolSet::find(std::string_view name) {
  for (const auto& pool : pools_) {
    if (pool->name() == name) return pool.get();
  }
  return nullptr;
}

Pool* PoolSet::find_present(std::string_view name) {
  const std::vector<Pool*> pools = present();
  if (name.empty()) return pools.size() == 1 ? pools.front() : nullptr;
  Pool* pool = find(name);
  return pool != nullptr && !pool->removed() ? pool : nullptr;
}

std::vector<Pool*> PoolSet::present() {
  std::vector<Pool*> pools;
  for (const auto& pool : pools_) {
    if (!pool->removed()) pools.push_back(pool.get());
  }
  return pools;
}

std::string PoolSet::names() {
  std::string names;
  for (const Pool* pool : present()) {
    if (!names.empty()) names += ", ";
    names += pool->name();
  }
  return names;
}

Pool& PoolSet::add(const std::string& name) {
  return *pools_.emplace_back(std::make_unique<Pool>(name, ids_, jitter_));
}

void PoolSet::close_removed(Turn& turn) {
  std::erase_if(pools_, [&turn](const std::unique_ptr<Pool>& pool) {
    if (!pool->removed() || !pool->empty()) return false;
    turn.order(ClosePool{pool->name()});
    return true;
  });
}

}  // namespace corn::core
