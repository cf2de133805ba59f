// SPDX-License-Identifier: Apache-2.0
// The template processes of all generations, and the workers that are being forked from them.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "arbiterd/driver/pool_runtime.h"
#include "arbiterd/driver/template_process.h"
#include "arbiterd/driver/worker_process.h"

namespace corn::driver {

// A worker to be made: what it is told and given.
struct SpawnPlan {
  WorkerProcess worker;  // without process and channel
  base::WorkerConfig config;
  std::vector<int> descriptors;        // the child's from kScoreboardFd on
  std::vector<ListenerPtr> listeners;  // hold those descriptors open
  HandOffPtr hand_off;
  std::vector<LogFilePtr> logs;
};

struct HookCall {
  std::string name;
  std::string arguments;  // JSON
  bool holds_forks = false;
  // Of those that a template runs first: an error is the template's failure to boot.
  bool needed = false;
  std::function<void(const std::string& error)> done;  // empty: it returned
};

// Loop thread only.
class Templates final : private TemplateProcess::Observer {
 public:
  struct Host {
    // A worker is there; its process and channel are set. The host watches it.
    std::function<void(WorkerProcess worker, base::UniqueFd pidfd)> spawned;
    // A worker will never be there. `error`: because its template could not boot.
    std::function<void(core::WorkerId, const std::optional<TemplateProcess::BootError>& error,
                       const std::string& text)>
        failed;
    // Hooks that a template runs before anything else.
    std::function<std::vector<HookCall>(const std::string& pool, core::Generation)> first_hooks;
    // Hooks that it runs when its generation is the pool's oldest and no other template of the pool
    // is left, so that what those had (ports) is free: after the first ones, or later.
    std::function<std::vector<HookCall>(const std::string& pool, core::Generation)> only_hooks;
  };

  // `context` and `launch` outlive it.
  Templates(const ErrandContext& context, const LaunchContext& launch, Host host);
  ~Templates() override;
  Templates(const Templates&) = delete;
  Templates& operator=(const Templates&) = delete;

  // A generation has begun whose workers are forked. Its template is made at once, or (`lazily`)
  // when it is needed.
  void begin(const config::PoolSettings& settings, core::Generation generation,
             const std::string& instance, bool lazily);
  // The generation is over: no more workers of it. Its templates finish their hooks and leave.
  void retire(const std::string& pool, core::Generation generation);
  void retire_older(const std::string& pool, core::Generation generation);
  void retire_pool(const std::string& pool);

  // Forks a worker of a generation that has begun. The host hears of it, maybe from within.
  void spawn(SpawnPlan plan);
  // Whether that worker has no process yet. Then it never gets one, and the host is told so; or, if
  // it is being forked just now, it gets the signal as soon as it is there.
  bool call_off(core::WorkerId worker, int signal);

  // Those that still load the application for nobody end at once.
  void end_loading();

  // Whether that generation has begun here and is not retired.
  [[nodiscard]] bool has(const std::string& pool, core::Generation generation) const {
    return generations_.contains({pool, generation});
  }
  [[nodiscard]] bool has_hook(const std::string& pool, core::Generation generation,
                              const std::string& hook) const {
    const auto found = generations_.find({pool, generation});
    return found != generations_.end() && found->second.settings.has_hook(hook);
  }

  // Whether it has a template that is ready.
  [[nodiscard]] bool is_up(const std::string& pool, core::Generation generation) const;

  // Makes the template of a generation that has begun lazily.
  void prepare(const std::string& pool, core::Generation generation);

  // Runs a hook in the template of a generation that has begun; one is made if there is none.
  void run_hook(const std::string& pool, core::Generation generation, HookCall call);

  // Tells the pool's templates that log files have been opened anew.
  void pass_logs(const std::string& pool, const base::TakeLogs& order,
                 const std::vector<int>& files) const;

  // Nothing is given to templates while held.
  void hold(bool held);
  // Whether a worker is being forked at this moment.
  [[nodiscard]] bool forking() const;

  // All are told to leave; `done` is called once, when the last one has ended, maybe from within.
  void leave_all(std::function<void()> done);

 private:
  using Key = std::pair<std::string, core::Generation>;
  struct Generation {
    config::PoolSettings settings;
    std::string instance;
    bool has_workers = false;           // that were forked from a template of it
    std::uint32_t killed_boots = 0;     // SIGKILLs from outside in a row
    std::set<std::string> deadly = {};  // hooks that a template of it has ended in
  };
  struct Pending {
    SpawnPlan plan;
    base::Channel child_end;
    std::uint64_t token = 0;
    bool given = false;      // to a template
    bool uncertain = false;  // whose template has ended since: its channel tells
    Timers::Id limit;        // of its uncertainty
    std::optional<int> signal;
  };

  void on_ready(TemplateProcess& from) override;
  void on_slow(TemplateProcess& from) override;
  void on_end(TemplateProcess& from,
              const std::optional<TemplateProcess::BootError>& error) override;

  [[nodiscard]] TemplateProcess* usable(const Key& key) const;
  TemplateProcess& make(const Key& key);
  // Whether the end of this one, which was never ready, counts as no failure to boot.
  bool forgives(const TemplateProcess& ended);
  [[nodiscard]] bool is_only(const TemplateProcess& one) const;
  // Finds the template that has become the pool's only one.
  void settle_only(const std::string& pool);
  std::vector<ForkRequest> requests_of(TemplateProcess& in, std::vector<HookCall> calls);
  void replace(TemplateProcess& slow);
  void on_forked(core::WorkerId id, const ForkOutcome& outcome);
  void on_uncertain(core::WorkerId id, bool overdue);
  void settle(core::WorkerId id, pid_t pid, base::UniqueFd pidfd);
  void fail(core::WorkerId id, const std::optional<TemplateProcess::BootError>& error,
            const std::string& text);
  ForkRequest request_of(HookCall call);

  const ErrandContext context_;
  const LaunchContext& launch_;
  const Host host_;
  std::map<Key, Generation> generations_;
  std::vector<std::shared_ptr<TemplateProcess>> templates_;
  std::map<core::WorkerId, Pending> pending_;
  std::uint64_t last_token_ = 0;
  bool held_ = false;
  std::function<void()> all_left_;
};

}  // namespace corn::driver
