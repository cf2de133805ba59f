// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/driver/loop_door.h"

#include <fmt/core.h>

#include <utility>

#include "arbiterd/driver/settings_loader.h"

namespace corn::driver {
namespace {

std::string no_such_worker(pid_t pid) {
  return fmt::format("no worker of this arbiter has pid {}; see 'cornctl status'", pid);
}

}  // namespace

bool LoopDoor::get_status(std::function<void(const StatusSnapshot&)> done) {
  return arbiter_.loop_->post([this, done = std::move(done)] {
    arbiter_.catch_up_state();
    done(arbiter_.status());
  });
}

bool LoopDoor::command(core::Command command, CommandCallbacks callbacks) {
  return arbiter_.loop_->post(
      [this, command = std::move(command), callbacks = std::move(callbacks)] {
        arbiter_.post_command(command, callbacks);
      });
}

bool LoopDoor::stop_worker(pid_t pid, bool now, CommandCallbacks callbacks) {
  return arbiter_.loop_->post([this, pid, now, callbacks = std::move(callbacks)] {
    for (const auto& [id, worker] : arbiter_.workers_) {
      if (worker.pid != pid) continue;
      arbiter_.post_command(core::StopWorkerCommand{id, now}, callbacks);
      return;
    }
    callbacks.done({core::ReplyCode::kNotFound, no_such_worker(pid), 0, 0});
  });
}

bool LoopDoor::dump_worker(pid_t pid, std::function<void(const WorkerDump&)> done) {
  return arbiter_.loop_->post([this, pid, done = std::move(done)] {
    for (const auto& [id, worker] : arbiter_.workers_) {
      if (worker.pid == pid) return arbiter_.dumps_->begin(worker, done);
    }
    done({core::ReplyCode::kNotFound, no_such_worker(pid), pid, {}});
  });
}

bool LoopDoor::get_config(std::function<void(const std::vector<EffectiveSetting>&)> done) {
  return arbiter_.loop_->post(
      [this, done = std::move(done)] { done(arbiter_.effective_settings()); });
}

bool LoopDoor::check_config(std::string file, bool load_applications,
                            std::function<void(const CommandOutcome&)> done) {
  return arbiter_.loop_->post([this, file = std::move(file), load_applications,
                               done = std::move(done)] {
    auto invocation = config::read_invocation({"-c", file}, arbiter_.invocation_.environment,
                                              arbiter_.invocation_.working_directory);
    const auto refuse = [done](const base::Error& error) {
      done({core::ReplyCode::kFailedPrecondition, error.message, 0, 0});
    };
    if (!invocation) return refuse(invocation.error());
    load_settings(arbiter_.errands(), arbiter_.launch_, *invocation,
                  [this, load_applications, done, refuse](base::Result<config::Settings> settings) {
                    if (!settings) return refuse(settings.error());
                    if (!load_applications) return done({});
                    check_applications(arbiter_.errands(), arbiter_.launch_, *settings,
                                       [done, refuse](base::Status loads) {
                                         if (!loads) return refuse(loads.error());
                                         done({});
                                       });
                  });
  });
}

bool LoopDoor::subscribe(Subscription subscription, std::function<void(SubscriptionId)> done) {
  return arbiter_.loop_->post(
      [this, subscription = std::move(subscription), done = std::move(done)] {
        arbiter_.catch_up_state();
        done(arbiter_.history_.subscribe(subscription));
      });
}

bool LoopDoor::unsubscribe(SubscriptionId id) {
  return arbiter_.loop_->post([this, id] { arbiter_.history_.unsubscribe(id); });
}

}  // namespace corn::driver
