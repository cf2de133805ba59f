// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "arbiterd/driver/arbiter.h"

namespace corn::driver {

// The door's inside: every call becomes a task of the loop.
class LoopDoor final : public Door {
 public:
  explicit LoopDoor(Arbiter& arbiter) : arbiter_(arbiter) {}

  bool get_status(std::function<void(const StatusSnapshot&)> done) override;
  bool command(core::Command command, CommandCallbacks callbacks) override;
  bool stop_worker(pid_t pid, bool now, CommandCallbacks callbacks) override;
  bool dump_worker(pid_t pid, std::function<void(const WorkerDump&)> done) override;
  bool get_config(std::function<void(const std::vector<EffectiveSetting>&)> done) override;
  bool check_config(std::string file, bool load_applications,
                    std::function<void(const CommandOutcome&)> done) override;
  bool subscribe(Subscription subscription, std::function<void(SubscriptionId)> done) override;
  bool unsubscribe(SubscriptionId id) override;

 private:
  Arbiter& arbiter_;
};

}  // namespace corn::driver
