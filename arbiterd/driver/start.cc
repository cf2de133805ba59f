// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/driver/start.h"

#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <ctime>
#include <utility>

#include "arbiterd/driver/log_files.h"
#include "arbiterd/os/daemonize.h"
#include "arbiterd/os/limits.h"
#include "arbiterd/os/listener.h"
#include "arbiterd/os/notify.h"
#include "arbiterd/os/runtime_directory.h"
#include "arbiterd/os/signals.h"
#include "base/log.h"
#include "base/process_title.h"

namespace corn::driver {
namespace {

// Channel, scoreboard and pidfd of each worker, and of their replacements during a reload.
constexpr unsigned kReservedDescriptors = 3 * 2 * core::kMaxWorkers;

tl::unexpected<StartFailure> in_the_way(const base::Error& error) {
  return tl::unexpected(StartFailure{1, error.message});
}

std::string address_in(const config::ArbiterSettings& settings, const std::string& directory,
                       const std::string& name) {
  if (settings.control.empty()) return directory + "/" + name + ".sock";
  constexpr std::string_view kUnix = "unix:";
  return settings.control.starts_with(kUnix) ? settings.control.substr(kUnix.size())
                                             : settings.control;
}

// Whether the arbiter's own log can be opened.
base::Status try_log(const std::string& path) {
  if (path.empty() || path == "-") return {};
  auto file = LogFile::open(path, std::nullopt, LogFile::When::kRunning);
  return file ? base::Status() : tl::unexpected(file.error());
}

// By this name even a file that has been removed can be opened again.
std::string fd_path(const base::UniqueFd& file) {
  return "/proc/self/fd/" + std::to_string(file.get());
}

// An upgrade changes what a reload changes.
void keep_what_runs(const InstanceState& state, config::Settings& settings) {
  if (state.instance.empty()) return;  // of a version that didn't tell
  config::Settings running;
  running.arbiter = state.kept;
  config::keep_unchangeable(running, settings);
}

// A new pool that nobody could reach comes with the reload that finds it reachable.
void put_off_unreachable(LoadedSettings& loaded, const Estate& estate) {
  std::size_t left = loaded.settings.pools.size();
  std::erase_if(loaded.settings.pools, [&](const config::PoolSettings& pool) {
    const std::string& name = pool.spec.name;
    const bool unreachable =
        !estate.pools.contains(name) && loaded.pools.at(name).listeners.empty();
    if (!unreachable || left == 1) return false;
    --left;
    loaded.pools.erase(name);
    return true;
  });
}

base::Status change_directory(const config::Settings& settings) {
  const std::string& directory = settings.pools.front().worker.working_directory;
  if (::chdir(directory.c_str()) == 0) return {};
  return base::fail_errno("chdir: " + directory, errno);
}

}  // namespace

base::Result<LaunchContext> prepare_process(const config::Invocation& invocation,
                                            const Estate* estate) {
  if (auto status = os::ensure_standard_descriptors(); !status) {
    return tl::unexpected(status.error());
  }
  if (auto status = os::block_arbiter_signals(); !status) return tl::unexpected(status.error());
  LaunchContext launch;
  auto limit = os::raise_descriptor_limit();
  if (!limit) return tl::unexpected(limit.error());
  launch.descriptor_limit = *limit;
  if (estate) launch.descriptor_limit.rlim_cur = estate->state.descriptor_limit;
  auto program = find_workerd(invocation.workerd);
  if (!program) return tl::unexpected(program.error());
  auto held = hold_workerd(*program);
  if (!held) return tl::unexpected(held.error());
  launch.program = std::move(*program);
  launch.program_file = std::move(*held);
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    // What a service manager says to arbiterd isn't meant for its children.
    if (text.starts_with("NOTIFY_SOCKET=") || text.starts_with("WATCHDOG_") ||
        text.starts_with("LISTEN_")) {
      continue;
    }
    launch.environment.emplace_back(text);
  }
  return launch;
}

base::Status await_readiness(const Estate& estate, const std::function<base::Status()>& prepare,
                             base::Error error) {
  if (auto blocked = os::block_arbiter_signals(); !blocked) return blocked;
  if (estate.log) std::ignore = base::open_log({fd_path(estate.log)});
  sigset_t awaited;
  ::sigemptyset(&awaited);
  for (const int number : {SIGHUP, SIGTERM, SIGINT, SIGQUIT}) ::sigaddset(&awaited, number);
  constexpr timespec kPause{2, 0};
  std::string told;
  for (;;) {
    if (std::exchange(told, error.message) != error.message) {
      base::log_error("{}; workers serve on, and it is tried again until it goes", told);
    }
    const int number = ::sigtimedwait(&awaited, nullptr, &kPause);
    if (number > 0 && number != SIGHUP) {
      for (const core::InheritedPool& pool : estate.state.inheritance.pools) {
        for (const core::InheritedWorker& worker : pool.workers) ::kill(worker.pid, number);
      }
      return tl::unexpected(error);
    }
    const base::Status prepared = prepare();
    if (prepared) return {};
    error = prepared.error();
  }
}

base::Status rehearse_start(config::Settings settings, InstanceState state) {
  keep_what_runs(state, settings);
  if (auto changed = change_directory(settings); !changed) return changed;
  if (auto directory = os::prepare_runtime_directory(); !directory) {
    return tl::unexpected(directory.error());
  }
  if (auto tried = try_log(settings.arbiter.log.path); !tried) return tried;
  if (auto logs = open_log_files(settings, LogFile::When::kRunning); !logs) {
    return tl::unexpected(logs.error());
  }
  auto estate = take_over(std::move(state));
  if (!estate) return tl::unexpected(estate.error());
  auto loaded = open_listeners(std::move(settings), estate->pools, {});
  if (!loaded) return tl::unexpected(loaded.error());
  return {};
}

tl::expected<std::unique_ptr<Instance>, StartFailure> Instance::start(
    const config::Invocation& invocation, const std::string& program, config::Settings settings,
    LaunchContext launch, std::optional<Estate> estate, ScriptProcess* script) {
  // What the settings want and can't have, though workers serve: it is no reason to leave them.
  std::vector<std::string> missing;
  const auto can_do_without = [&](const base::Error& error) {
    if (estate) missing.push_back(error.message);
    return estate.has_value();
  };
  if (estate) keep_what_runs(estate->state, settings);
  const config::PoolSettings& first = settings.pools.front();
  if (auto changed = change_directory(settings); !changed && !can_do_without(changed.error())) {
    return in_the_way(changed.error());
  }
  auto notifier = os::Notifier::from_environment();
  if (!notifier) return in_the_way(notifier.error());
  auto inherited = os::take_activation_sockets();
  if (!inherited) return in_the_way(inherited.error());

  std::optional<os::DaemonStart> daemon;
  if (settings.arbiter.daemon && !estate) {
    auto started = os::DaemonStart::daemonize();
    if (!started) return in_the_way(started.error());
    daemon.emplace(std::move(*started));
  }
  const auto give_up = [&](const base::Error& error) {
    if (daemon) daemon->failed(1, "arbiterd: " + error.message);
    return in_the_way(error);
  };

  std::unique_ptr<Instance> instance(new Instance);
  auto directory = os::prepare_runtime_directory();
  if (!directory) return give_up(directory.error());
  auto name = os::instance_name(settings.arbiter.name, first.worker.application,
                                first.worker.working_directory, first.binds, *directory);
  if (!name) return give_up(name.error());
  if (estate && !estate->state.instance.empty()) *name = estate->state.instance;
  instance->name_ = *name;
  instance->control_path_ = address_in(settings.arbiter, *directory, *name);
  instance->usual_control_path_ = *directory + "/" + *name + ".sock";
  if (estate && estate->lock) {
    instance->lock_.emplace(os::InstanceLock::inherit(*directory, *name, std::move(estate->lock)));
  } else {
    auto lock = os::InstanceLock::acquire(*directory, *name);
    if (!lock) return give_up(lock.error());
    instance->lock_.emplace(std::move(*lock));
  }
  const base::Status log = base::open_log(settings.arbiter.log);
  if (auto reserved = os::reserve_descriptors(kReservedDescriptors); !reserved) {
    base::log_debug("{}, ignoring", reserved.error().message);
  }
  const std::string state_file = *directory + "/" + *name + ".state";
  launch.adoption_socket = *directory + "/" + *name + ".adopt";
  if (!estate) {
    auto adopted = adopt(state_file, launch.adoption_socket);
    if (!adopted) return give_up(adopted.error());
    estate = std::move(*adopted);
  }
  instance->succeeds_ = estate.has_value();
  if (!log) {
    if (!can_do_without(log.error())) return give_up(log.error());
    instance->keep_log(settings.arbiter.log, std::move(estate->log));
  }
  auto logs = open_log_files(settings, estate ? LogFile::When::kRunning : LogFile::When::kStart);
  if (!logs && !can_do_without(logs.error())) return give_up(logs.error());
  if (!settings.arbiter.pid_file.empty()) {
    auto pid_file = os::PidFile::create(settings.arbiter.pid_file);
    if (!pid_file && !can_do_without(pid_file.error())) return give_up(pid_file.error());
    if (pid_file) instance->pid_file_.emplace(std::move(*pid_file));
  }
  auto loaded = open_listeners(std::move(settings),
                               estate ? estate->pools : std::map<std::string, PoolRuntime>(),
                               *inherited, estate ? &missing : nullptr);
  if (!loaded) return give_up(loaded.error());
  for (const std::string& text : missing) {
    base::log_error("{}; going on without, for the sake of the workers that serve", text);
  }
  if (estate) {
    estate->incomplete = !missing.empty();
    put_off_unreachable(*loaded, *estate);
  }
  if (logs) {
    for (auto& [pool, generation] : loaded->pools) generation.logs = std::move(logs->at(pool));
  }

  const config::Settings& running = loaded->settings;
  const std::string shown = running.arbiter.name.empty() ? running.pools.front().worker.application
                                                         : running.arbiter.name;
  if (auto title = base::set_process_title("corn: arbiter [" + shown + "]"); !title) {
    base::log_debug("{}, ignoring", title.error().message);
  }
  StartedAs started{
      program, invocation.arguments, launch.environment, invocation.working_directory, {}};
  const std::vector<std::string>& notify = notifier->environment();
  started.environment.insert(started.environment.end(), notify.begin(), notify.end());
  if (script != nullptr) {
    started.descriptors.push_back(script->descriptor());
    started.environment.push_back(fmt::format("{}={}", kScriptVariable, script->descriptor()));
    started.environment.push_back(fmt::format("{}={}", kScriptPidVariable, script->pid()));
  }
  ArbiterOptions options{invocation,
                         std::move(*loaded),
                         std::move(launch),
                         instance->name_,
                         std::move(*notifier),
                         std::move(daemon),
                         std::move(started),
                         state_file,
                         std::move(estate),
                         instance->lock_->descriptor(),
                         script};
  auto arbiter = Arbiter::create(std::move(options));
  if (!arbiter) return in_the_way(arbiter.error());
  instance->arbiter_ = std::move(*arbiter);
  return instance;
}

void Instance::keep_log(base::LogOptions options, base::UniqueFd old) {
  if (!old) return;  // standard error
  options.path = fd_path(old);
  if (auto opened = base::open_log(options); !opened) {
    base::log_error("{}", opened.error().message);
    return;
  }
  old_log_ = std::move(old);
}

void Instance::start_failed(const StartFailure& failure) {
  arbiter_->start_failed(failure.status, "arbiterd: " + failure.text);
}

}  // namespace corn::driver
