// SPDX-License-Identifier: Apache-2.0
// What happens in a template process: loading the application before workers are forked, and
// gunicorn's server hooks.
#include <algorithm>

#include "arbiterd/config/schema_tables.h"

namespace corn::config {
namespace {

constexpr std::int64_t kLongestHook = 86'400;

std::string warm_up_problem(const Value& value) {
  for (const std::string& path : value.list()) {
    if (!path.starts_with('/')) return "a path that begins with /, such as /health, is wanted";
  }
  return "";
}

struct Hook {
  std::string_view name;
  std::string_view help;
};

constexpr Hook kHooks[] = {
    {"on_starting",
     "on_starting(server): before the first worker is started, and again in every new template "
     "process, before a worker is forked from it. An exception here ends the start, or lets the "
     "reload fail."},
    {"on_reload",
     "on_reload(server): during a reload, after on_starting and before the first new worker is "
     "started."},
    {"when_ready",
     "when_ready(server): after on_starting, when the listeners are open. On a reload once the old "
     "generation's template process has left, so that its ports are free."},
    {"pre_fork", "pre_fork(server, worker): before a worker is forked."},
    {"post_fork", "post_fork(server, worker): in the worker, right after it was forked."},
    {"post_worker_init",
     "post_worker_init(worker): in the worker, when it has loaded the "
     "application."},
    {"worker_int", "worker_int(worker): in the worker, when it gets SIGINT or SIGQUIT."},
    {"worker_abort", "worker_abort(worker): in the worker, when it gets SIGABRT: its time is up."},
    {"pre_exec", "pre_exec(server): before an upgrade in place replaces arbiterd's program."},
    {"pre_request",
     "pre_request(worker, request): before a request enters the application, which sees what "
     "the hook has changed in the request."},
    {"post_request",
     "post_request(worker, request, environ, response): when a request has been "
     "answered."},
    {"child_exit", "child_exit(server, worker): after a worker has ended."},
    {"worker_exit", "worker_exit(server, worker): in the worker, before it exits."},
    {"nworkers_changed",
     "nworkers_changed(server, new, old): when the number of workers wanted "
     "has changed, and in every new template process; old is None at first."},
    {"on_exit", "on_exit(server): at the very end, when the last worker has ended."},
};

Setting hook_setting(std::string_view name, std::string_view help) {
  Setting setting;
  setting.name = name;
  setting.kind = Kind::kHook;
  setting.group = Group::kHooks;
  setting.help = help;
  return setting;
}

}  // namespace

std::vector<Setting> preload_settings() {
  return {
      {.name = "preload_app",
       .flags = "--preload",
       .kind = Kind::kSwitch,
       .group = Group::kWorkers,
       .default_text = "false",
       .help = "Load the application once, in a template process from which the workers are "
               "forked: they share its memory and start in a moment.",
       .more = "A reload makes a new template, so that new code is taken up.",
       .to_pool = [](const Value& v, PoolSettings& p) { p.worker.preload = v.on(); }},
      {.name = "preload_warm_up",
       .flags = "--preload-warm-up",
       .placeholder = "PATH",
       .kind = Kind::kTextList,
       .group = Group::kWorkers,
       .gunicorn = false,
       .help = "A path that the template requests of the application before workers are forked, "
               "so that they share what the first request makes. Repeatable.",
       .more = "With preload_app only.",
       .repeatable = true,
       .problem = warm_up_problem,
       .to_pool = [](const Value& v, PoolSettings& p) { p.worker.warm_up = v.list(); }},
      {.name = "hook_timeout",
       .flags = "--hook-timeout",
       .placeholder = "SECONDS",
       .kind = Kind::kSeconds,
       .group = Group::kTimeLimits,
       .gunicorn = false,
       .default_text = "30",
       .minimum = 1,
       .maximum = kLongestHook,
       .help = "A server hook that takes longer is reported and its template process replaced.",
       .more = "Workers are served meanwhile: a hook never holds the arbiter up. Hooks that run in "
               "workers are under the workers' own limits.",
       .to_pool = [](const Value& v, PoolSettings& p) { p.hook_timeout = v.duration(); }},
  };
}

std::vector<Setting> hook_settings() {
  std::vector<Setting> settings;
  for (const Hook& hook : kHooks) settings.push_back(hook_setting(hook.name, hook.help));
  return settings;
}

bool runs_in_arbiter(std::string_view hook) {
  constexpr std::string_view kArbiterSide[] = {"on_starting", "on_reload",  "when_ready",
                                               "pre_exec",    "child_exit", "nworkers_changed",
                                               "on_exit"};
  return std::ranges::count(kArbiterSide, hook) > 0;
}

}  // namespace corn::config
