// SPDX-License-Identifier: Apache-2.0
// Server hooks that are called on the arbiter's behalf, in templates: which one when, with what
// arguments, and what follows from an exception in one.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "arbiterd/config/settings.h"
#include "arbiterd/core/types.h"
#include "arbiterd/driver/templates.h"
#include "arbiterd/driver/worker_process.h"

namespace corn::driver {

// What a hook's `server` knows at the time of the call.
struct HookScene {
  std::vector<std::pair<pid_t, std::uint32_t>> workers;  // pid and age, of those that live
  std::uint32_t target = 0;                              // of the pool whose hooks they are
};

// A configuration with hooks has one pool. Loop thread only.
class Hooks {
 public:
  using Done = std::function<void()>;

  // `templates` outlives it. `start_failed` is called when on_starting fails at a first start, with
  // why.
  Hooks(Templates& templates, std::function<void(const std::string&)> start_failed);

  // Nobody waits for this start, it goes on where another arbiter was.
  void resumed() { resumed_ = true; }
  // Workers have been adopted and no reload follows: what hooks of a start set up is made anew.
  void adopted();
  // A generation with these hooks has begun. `reload`: it is to replace another one.
  void began(const HookScene& scene, const config::PoolSettings& settings,
             core::Generation generation, bool reload);
  void committed(const std::string& pool, core::Generation generation);
  [[nodiscard]] const std::string& pool() const { return pool_; }

  // What a template that has just come up runs first, each anew: it has nothing of what they have
  // set up in others.
  std::vector<HookCall> first(const HookScene& scene, const std::string& pool,
                              core::Generation generation);
  // What it runs when it is the pool's only one.
  std::vector<HookCall> only(const HookScene& scene, const std::string& pool,
                             core::Generation generation);
  void target_changed(const HookScene& scene);
  void child_exited(const HookScene& scene, const WorkerProcess& worker,
                    const os::ExitStatus& status);
  // pre_exec; `done` is called once, maybe from within, when it has returned or failed.
  void before_exec(const HookScene& scene, Done done);
  // on_exit; likewise.
  void at_exit(const HookScene& scene, Done done);

 private:
  // The generation in whose template the hook is called; nullopt: it isn't set.
  [[nodiscard]] std::optional<core::Generation> place(const std::string& hook,
                                                      core::Generation wanted) const;
  [[nodiscard]] bool is_set(const std::string& pool, core::Generation generation,
                            const std::string& hook) const;
  void call_and_wait(const HookScene& scene, const std::string& hook, Done done);

  Templates& templates_;
  const std::function<void(const std::string&)> start_failed_;
  bool resumed_ = false;
  bool started_ = false;                       // the hooks of a start have been called
  std::optional<core::Generation> reloading_;  // on trial, as what a reload is to bring
  std::optional<core::Generation> starting_;   // the first one, until on_starting has returned
  std::string pool_;
  core::Generation latest_ = 0;
  core::Generation committed_ = 0;
  std::optional<std::uint32_t> target_;  // that nworkers_changed was told last
};

}  // namespace corn::driver
