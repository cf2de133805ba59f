// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/driver/settings_loader.h"

#include <fmt/core.h>

#include <memory>
#include <utility>
#include <vector>

#include "arbiterd/driver/script_process.h"
#include "arbiterd/os/signals.h"

namespace corn::driver {
namespace {

// A configuration file computes a few values; one that takes longer waits for something.
constexpr base::Duration kConfigHostLimit = std::chrono::seconds(60);

void check_from(const ErrandContext& context, const LaunchContext& launch,
                const std::shared_ptr<const config::Settings>& settings, std::size_t index,
                const std::function<void(base::Status)>& done) {
  if (index == settings->pools.size()) return done({});
  const config::PoolSettings& pool = settings->pools[index];
  base::WorkerConfig config = pool.worker;
  config.role = base::WorkerRole::kCheck;
  // A worker is given its log open; here that is standard error, since a user may lack the right.
  const bool as_another = !pool.user.empty() || !pool.group.empty();
  if (as_another) config.error_log = base::WorkerConfig().error_log;
  const base::Duration limit =
      pool.spec.boot_timeout.count() > 0 ? pool.spec.boot_timeout : base::Duration::max() / 4;
  Errand::start(context, launch, pool, config,
                fmt::format("loading the application {}", config.application), limit,
                [=](base::Result<base::Message> answer) {
                  if (!answer) return done(tl::unexpected(answer.error()));
                  if (const auto* failed = std::get_if<base::BootFailed>(&*answer)) {
                    return done(base::fail(failed->text));
                  }
                  check_from(context, launch, settings, index + 1, done);
                });
}

// Runs `begin`, which is given a callback to end with, on a loop of its own. `signal`: what has
// ended it early; null: signals stay pending.
template <typename T, typename Begin>
base::Result<T> run_to_end(ScriptProcess* script, int* signal, Begin begin) {
  std::set<Errand*> under_way;  // outlives them all
  auto loop = os::EpollLoop::create();
  if (!loop) return tl::unexpected(loop.error());
  os::PidfdChildWatch children(**loop);
  os::CloneLauncher launcher;
  std::optional<Timers> timers;
  timers.emplace([&] { (*loop)->set_deadline(timers->next()); });
  const ErrandContext context{**loop, children, launcher, *timers, script, &under_way};
  const auto end_early = [&](const os::SignalLevels& levels) {
    if (*signal != 0) return;
    *signal = levels.commands.back();
    const std::vector<Errand*> errands(under_way.begin(), under_way.end());  // each leaves the set
    for (Errand* errand : errands) errand->call_off("called off by a signal");
    if (errands.empty()) (*loop)->stop();
  };
  std::unique_ptr<os::SignalSource> signals;
  if (signal != nullptr) {
    auto watched = os::SignalSource::create(**loop, end_early, os::SignalSource::Which::kEnding);
    if (!watched) return tl::unexpected(watched.error());
    signals = std::move(*watched);
  }
  if (script != nullptr) {
    if (auto attached = script->attach(**loop, children); !attached) {
      return tl::unexpected(attached.error());
    }
  }
  base::Result<T> outcome = base::fail("nothing was done");
  (*loop)->on_deadline([&] { timers->run_due((*loop)->now()); });
  begin(context, [&](base::Result<T> result) {
    outcome = std::move(result);
    (*loop)->stop();
  });
  (*loop)->run();
  if (script != nullptr) script->detach();
  return outcome;
}

}  // namespace

void load_settings(const ErrandContext& context, const LaunchContext& launch,
                   const config::Invocation& invocation,
                   std::function<void(base::Result<config::Settings>)> done) {
  if (!invocation.python_config) {
    context.timers.at(context.loop.now(), [invocation, done = std::move(done)] {
      done(config::resolve(invocation, std::nullopt));
    });
    return;
  }
  config::PoolSettings pool;
  pool.worker.role = base::WorkerRole::kConfigHost;
  if (!invocation.script) pool.worker.config_file = invocation.config_file;
  pool.worker.working_directory = invocation.working_directory;
  if (!invocation.script) {
    config::Evaluation evaluation = config::evaluation_of_file(invocation);
    pool.worker.python_path = std::move(evaluation.python_path);
    pool.worker.virtual_env = std::move(evaluation.virtual_env);
  }
  Errand::start(
      context, launch, pool, pool.worker,
      fmt::format("{} {}", invocation.script ? "load_config() of" : "the configuration file",
                  invocation.config_file),
      kConfigHostLimit, [invocation, done = std::move(done)](base::Result<base::Message> answer) {
        if (!answer) return done(tl::unexpected(answer.error()));
        if (const auto* values = std::get_if<base::ConfigValues>(&*answer)) {
          return done(config::resolve(invocation, *values));
        }
        if (const auto* failed = std::get_if<base::ConfigFailed>(&*answer)) {
          return done(base::fail(failed->text));
        }
        if (const auto* failed = std::get_if<base::BootFailed>(&*answer)) {
          return done(base::fail(failed->text));
        }
        done(base::fail(
            fmt::format("{}: workerd gave an answer of another kind", invocation.config_file)));
      });
}

void check_applications(const ErrandContext& context, const LaunchContext& launch,
                        const config::Settings& settings, std::function<void(base::Status)> done) {
  context.timers.at(context.loop.now(),
                    [context, launch, done = std::move(done),
                     shared = std::make_shared<const config::Settings>(settings)] {
                      check_from(context, launch, shared, 0, done);
                    });
}

base::Result<config::Settings> load_settings_now(const LaunchContext& launch,
                                                 const config::Invocation& invocation,
                                                 ScriptProcess* script, int* signal) {
  return run_to_end<config::Settings>(script, signal, [&](const ErrandContext& context, auto done) {
    load_settings(context, launch, invocation, done);
  });
}

base::Status check_applications_now(const LaunchContext& launch, const config::Settings& settings,
                                    ScriptProcess* script, int* signal) {
  return run_to_end<void>(script, signal, [&](const ErrandContext& context, auto done) {
    check_applications(context, launch, settings, done);
  });
}

}  // namespace corn::driver
