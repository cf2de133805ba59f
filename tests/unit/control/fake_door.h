// SPDX-License-Identifier: Apache-2.0
// An arbiter that does what a test says, behind the real door's rules: callbacks run on one thread
// of its own, the loop thread of this little world, and never before the call has returned.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "arbiterd/driver/door/door.h"

namespace corn::control {

class FakeDoor final : public driver::Door {
 public:
  FakeDoor();
  ~FakeDoor() override;

  // Runs `work` on the loop thread: at some time, or before returning.
  void post(std::function<void()> work);
  void run(const std::function<void()>& work);

  // What follows belongs to the loop thread once a server uses the door: change it in run().

  // A call when this is false is not taken, as with a full queue. Any thread.
  std::atomic<bool> taking{true};
  driver::StatusSnapshot status;
  std::vector<driver::EffectiveSetting> settings;
  // What commands do; the default replies kDone at once.
  std::function<void(const core::Command&, const driver::CommandCallbacks&)> on_command;
  std::function<void(pid_t pid, bool now, const driver::CommandCallbacks&)> on_stop_worker;
  std::function<driver::CommandOutcome(const std::string& file, bool load)> on_check_config;
  std::function<driver::WorkerDump(pid_t pid)> on_dump_worker;

  // Adds an event to the history, which subscribers get. Loop thread.
  void publish(core::Record record, driver::WallTime time = std::chrono::system_clock::now());
  // Forgets all events up to and including this one. Loop thread.
  void compact(std::uint64_t sequence);
  // Ends every subscription as a stopping arbiter does. Loop thread.
  void end_subscriptions();
  // Live subscriptions. Loop thread.
  [[nodiscard]] std::size_t subscribers() const { return subscribers_.size(); }
  // How many times somebody has subscribed. Loop thread.
  std::size_t subscriptions_made = 0;

  bool get_status(std::function<void(const driver::StatusSnapshot&)> done) override;
  bool command(core::Command command, driver::CommandCallbacks callbacks) override;
  bool stop_worker(pid_t pid, bool now, driver::CommandCallbacks callbacks) override;
  bool dump_worker(pid_t pid, std::function<void(const driver::WorkerDump&)> done) override;
  bool get_config(std::function<void(const std::vector<driver::EffectiveSetting>&)> done) override;
  bool check_config(std::string file, bool load_applications,
                    std::function<void(const driver::CommandOutcome&)> done) override;
  bool subscribe(driver::Subscription subscription,
                 std::function<void(driver::SubscriptionId)> done) override;
  bool unsubscribe(driver::SubscriptionId id) override;

 private:
  void loop();
  void begin(const driver::Subscription& subscription,
             const std::function<void(driver::SubscriptionId)>& done);

  // Loop thread.
  std::deque<driver::HistoryEvent> history_;
  std::uint64_t last_sequence_ = 0;
  std::map<driver::SubscriptionId, driver::Subscription> subscribers_;
  driver::SubscriptionId last_id_ = 0;

  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  std::deque<std::function<void()>> posted_;
  bool stopping_ = false;

  std::thread thread_;
};

// One pool "default" with two workers, pids 101 and 102, and a request in flight.
driver::StatusSnapshot two_workers();

}  // namespace corn::control
