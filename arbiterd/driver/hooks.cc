// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/driver/hooks.h"

#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/log.h"

namespace corn::driver {
namespace {

using Json = nlohmann::ordered_json;

Json arguments_of(const HookScene& scene) {
  Json arguments;
  arguments["pid"] = ::getpid();
  arguments["num_workers"] = scene.target;
  arguments["workers"] = Json::array();
  for (const auto& [pid, age] : scene.workers) arguments["workers"].push_back({pid, age});
  return arguments;
}

void report(const std::string& hook, const std::string& error) {
  if (!error.empty()) base::log_error("The server hook {} has failed: {}", hook, error);
}

HookCall call_of(const std::string& hook, const Json& arguments, bool holds_forks) {
  HookCall call;
  call.name = hook;
  call.arguments = arguments.dump();
  call.holds_forks = holds_forks;
  call.done = [hook](const std::string& error) { report(hook, error); };
  return call;
}

}  // namespace

Hooks::Hooks(Templates& templates, std::function<void(const std::string&)> start_failed)
    : templates_(templates), start_failed_(std::move(start_failed)) {}

void Hooks::began(const HookScene& scene, const config::PoolSettings& settings,
                  core::Generation generation, bool reload) {
  if (settings.hooks.empty()) return;
  pool_ = settings.spec.name;
  latest_ = generation;
  reloading_ = reload ? std::optional(generation) : std::nullopt;
  starting_ = reload || resumed_ ? std::nullopt : std::optional(generation);
  if (reload && settings.has_hook("on_reload")) {
    templates_.run_hook(pool_, generation, call_of("on_reload", arguments_of(scene), true));
  }
}

void Hooks::adopted() {
  if (is_set(pool_, latest_, "on_starting") || is_set(pool_, latest_, "when_ready")) {
    templates_.prepare(pool_, latest_);
  }
}

void Hooks::committed(const std::string& pool, core::Generation generation) {
  if (pool != pool_) return;
  committed_ = generation;
  if (reloading_ == generation) reloading_.reset();
}

std::optional<core::Generation> Hooks::place(const std::string& hook,
                                             core::Generation wanted) const {
  for (const core::Generation generation : {wanted, committed_, latest_}) {
    if (!templates_.has(pool_, generation)) continue;
    if (templates_.has_hook(pool_, generation, hook)) return generation;
    return std::nullopt;
  }
  return std::nullopt;
}

bool Hooks::is_set(const std::string& pool, core::Generation generation,
                   const std::string& hook) const {
  return templates_.has_hook(pool, generation, hook);
}

std::vector<HookCall> Hooks::first(const HookScene& scene, const std::string& pool,
                                   core::Generation generation) {
  std::vector<HookCall> calls;
  if (pool != pool_) return calls;
  Json arguments = arguments_of(scene);
  if (is_set(pool, generation, "on_starting")) {
    calls.push_back(call_of("on_starting", arguments, true));
    calls.back().needed = reloading_ == generation;
    if (starting_ == generation) {
      calls.back().done = [this](const std::string& error) {
        if (!error.empty())
          return start_failed_("The server hook on_starting has failed: " + error);
        starting_.reset();
      };
    }
  }
  if (is_set(pool, generation, "nworkers_changed")) {
    arguments["new"] = scene.target;
    arguments["old"] = target_ ? Json(*target_) : Json(nullptr);
    calls.insert(calls.begin(), call_of("nworkers_changed", arguments, true));
  }
  started_ = true;
  target_ = scene.target;
  return calls;
}

std::vector<HookCall> Hooks::only(const HookScene& scene, const std::string& pool,
                                  core::Generation generation) {
  if (pool != pool_ || !is_set(pool, generation, "when_ready")) return {};
  return {call_of("when_ready", arguments_of(scene), true)};
}

void Hooks::target_changed(const HookScene& scene) {
  if (!started_ || target_ == scene.target) return;
  const auto generation = place("nworkers_changed", latest_);
  // A template that is still to come up is told by first().
  if (generation && !templates_.is_up(pool_, *generation)) return;
  Json arguments = arguments_of(scene);
  arguments["new"] = scene.target;
  arguments["old"] = *target_;
  target_ = scene.target;
  if (!generation) return;
  templates_.run_hook(pool_, *generation, call_of("nworkers_changed", arguments, false));
}

void Hooks::child_exited(const HookScene& scene, const WorkerProcess& worker,
                         const os::ExitStatus& status) {
  if (worker.pool != pool_) return;
  const auto generation = place("child_exit", worker.generation);
  if (!generation) return;
  Json arguments = arguments_of(scene);
  Json code = nullptr;
  if (status.kind == os::ExitStatus::Kind::kExited) code = status.code;
  if (status.kind == os::ExitStatus::Kind::kSignaled) code = -status.code;
  arguments["worker"] = {worker.pid, worker.age, code};
  templates_.run_hook(pool_, *generation, call_of("child_exit", arguments, false));
}

void Hooks::before_exec(const HookScene& scene, Done done) {
  call_and_wait(scene, "pre_exec", std::move(done));
}

void Hooks::at_exit(const HookScene& scene, Done done) {
  call_and_wait(scene, "on_exit", std::move(done));
}

void Hooks::call_and_wait(const HookScene& scene, const std::string& hook, Done done) {
  const auto generation = place(hook, committed_);
  // One that could not start has nothing to end.
  if (!generation || (!started_ && !resumed_)) return done();
  HookCall call = call_of(hook, arguments_of(scene), false);
  call.done = [hook, done = std::move(done)](const std::string& error) {
    report(hook, error);
    done();
  };
  templates_.run_hook(pool_, *generation, std::move(call));
}

}  // namespace corn::driver
