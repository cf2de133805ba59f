// SPDX-License-Identifier: Apache-2.0
// A template: a workerd process that has evaluated the configuration, and loaded the application if
// told to, from which a generation's workers are forked and in which server hooks run.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "arbiterd/config/settings.h"
#include "arbiterd/core/types.h"
#include "arbiterd/driver/errand.h"
#include "arbiterd/driver/fork_server.h"

namespace corn::driver {

// A hook that keeps its template busy for so long doesn't hold up workers any longer.
inline constexpr base::Duration kSlowHook = std::chrono::milliseconds(500);

// Loop thread only. Its requests wait until it is ready.
class TemplateProcess : public std::enable_shared_from_this<TemplateProcess> {
 public:
  struct BootError {
    base::BootFailure kind = base::BootFailure::kWorker;
    std::string text;  // one sentence, then the traceback where there is one
  };
  class Observer {
   public:
    virtual ~Observer() = default;
    // Workers can be forked; requests that have waited go out after this.
    virtual void on_ready(TemplateProcess& from) = 0;
    // A hook has been running for kSlowHook.
    virtual void on_slow(TemplateProcess& from) = 0;
    // Its process has ended, or never began. `error`: it was never ready. Requests that were not
    // with it are still there. The observer forgets it.
    virtual void on_end(TemplateProcess& from, const std::optional<BootError>& error) = 0;
  };

  // `observer` outlives it.
  TemplateProcess(const ErrandContext& context, Observer& observer,
                  const config::PoolSettings& settings, core::Generation generation);
  ~TemplateProcess();
  TemplateProcess(const TemplateProcess&) = delete;
  TemplateProcess& operator=(const TemplateProcess&) = delete;

  // Once. on_end() is never called from within.
  void start(const LaunchContext& launch, const std::string& instance);

  [[nodiscard]] const std::string& pool() const { return settings_.spec.name; }
  [[nodiscard]] core::Generation generation() const { return generation_; }
  [[nodiscard]] ForkServer& requests() { return requests_; }
  // It takes no new requests, finishes those it has, and leaves.
  [[nodiscard]] bool retiring() const { return retiring_; }
  [[nodiscard]] bool ready() const { return ready_; }
  // A hook that nobody has to wait for has been running for kSlowHook.
  [[nodiscard]] bool slow() const;
  // It has ended by a SIGKILL that is not this arbiter's before it was ready, which says nothing
  // about what it was to load.
  [[nodiscard]] bool boot_was_killed() const { return boot_was_killed_; }
  // The hook that its process ended in; empty: in none, or it has not ended.
  [[nodiscard]] const std::string& ended_in() const { return ended_in_; }

  // Whoever owns it knows by this whether its hooks for a pool's only template have been called.
  [[nodiscard]] bool settled() const { return settled_; }
  void settle() { settled_ = true; }

  // Log files have been opened anew; its own is among them.
  void pass_logs(const base::TakeLogs& order, const std::vector<int>& files) const;
  void retire();
  // A hook without which it is of no use has failed: it leaves as one that could not boot.
  void fail_boot(const std::string& text);
  // `why`: a sentence for the log.
  void kill(const std::string& why);

 private:
  void on_start(base::Result<LaunchedWorkerd> launched);
  void on_channel();
  void on_message(const base::Message& message);
  void on_exit(const os::ExitStatus& status);
  void on_begun();
  void on_boot_limit();
  void on_request_limit();
  void leave_if_done();
  void end_later(const std::string& why);
  void end(const std::string& how);
  void cancel_timers();
  [[nodiscard]] std::string shown() const;

  const ErrandContext context_;
  Observer& observer_;
  const config::PoolSettings settings_;
  const core::Generation generation_;
  ForkServer requests_;
  pid_t pid_ = 0;
  base::Channel channel_;
  bool ready_ = false;
  bool retiring_ = false;
  bool told_to_leave_ = false;
  bool killed_ = false;
  bool settled_ = false;
  bool boot_was_killed_ = false;
  std::string ended_in_;
  std::optional<BootError> boot_error_;
  base::TimePoint begun_at_;  // of the request that is with it
  std::optional<Timers::Id> boot_timer_;
  std::optional<Timers::Id> slow_timer_;
  std::optional<Timers::Id> limit_timer_;
  std::optional<Timers::Id> kill_timer_;
};

}  // namespace corn::driver
