// SPDX-License-Identifier: Apache-2.0
// Sockets on which a template listens for itself, as the hook when_ready has it: metrics, say. A
// worker that kept them would keep their addresses, from the next template too.
#pragma once

#include <set>
#include <vector>

namespace corn::process {

// Main thread of a template.
class HookSockets {
 public:
  // when_ready is about to be called. What listens already may be meant for workers.
  void begin();
  // Those that have come since; none before begin().
  [[nodiscard]] std::vector<int> find() const;

 private:
  bool begun_ = false;
  std::set<int> before_;
};

// In a worker: they are closed. Their numbers stay taken, by objects that know nothing of it.
void give_up(const std::vector<int>& sockets);

}  // namespace corn::process
