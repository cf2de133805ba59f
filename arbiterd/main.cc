// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <cstdio>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "arbiterd/config/sources.h"
#include "arbiterd/control/control_server.h"
#include "arbiterd/driver/script_process.h"
#include "arbiterd/driver/settings_loader.h"
#include "arbiterd/driver/start.h"
#include "arbiterd/os/limits.h"
#include "arbiterd/os/signals.h"
#include "base/log.h"

namespace corn {
namespace {

// For what a script does after run(), and its exit handlers.
constexpr base::Duration kScriptLimit = std::chrono::seconds(60);

// Libraries open descriptors of their own before main(): none is to get the number of a standard
// stream that was closed.
void open_standard_streams(int /*argc*/, char** /*argv*/, char** /*environment*/) {
  std::ignore = os::ensure_standard_descriptors();
}
[[gnu::section(".preinit_array"),
  gnu::used]] void (*const first_of_all)(int, char**, char**) = &open_standard_streams;

int refuse(int status, const std::string& text) {
  std::fprintf(stderr, "arbiterd: %s\n", text.c_str());
  return status;
}

std::map<std::string, std::string> read_environment() {
  std::map<std::string, std::string> result;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text(*entry);
    const std::size_t equals = text.find('=');
    if (equals != std::string::npos) result[text.substr(0, equals)] = text.substr(equals + 1);
  }
  return result;
}

std::string working_directory() {
  char* path = ::get_current_dir_name();
  std::string result = path != nullptr ? path : "/";
  std::free(path);
  return result;
}

int serve(const config::Invocation& invocation, const std::string& program,
          config::Settings settings, driver::LaunchContext launch,
          std::optional<driver::Estate> estate, driver::ScriptProcess* script) {
  auto instance = driver::Instance::start(invocation, program, std::move(settings),
                                          std::move(launch), std::move(estate), script);
  if (!instance) return refuse(instance.error().status, instance.error().text);
  driver::Arbiter& arbiter = (*instance)->arbiter();
  control::ControlServerOptions options{(*instance)->control_path(), (*instance)->name(),
                                        ::geteuid()};
  auto control = control::ControlServer::start(options, arbiter.door());
  if (!control && (*instance)->succeeds()) {
    // The workers that serve are not left alone for want of it.
    options.socket_path = (*instance)->usual_control_path();
    base::log_error("{}; trying {}", control.error().message, options.socket_path);
    control = control::ControlServer::start(options, arbiter.door());
    if (!control) base::log_error("{}; signals are obeyed", control.error().message);
  } else if (!control) {
    (*instance)->start_failed({1, control.error().message});
    return refuse(1, control.error().message);
  }
  arbiter.on_upgrade(
      [&] {
        if (control) (*control)->stop(true);
      },
      [&] {
        control = control::ControlServer::start(options, arbiter.door());
        if (!control) base::log_error("{}", control.error().message);
      });
  const int status = arbiter.run();
  if (control) (*control)->stop();
  return status;
}

// A signal has ended the start: the server was told to stop, and has; whoever has asked for
// something else doesn't get it, which is said as a shell says it.
int end_early(const config::Invocation& invocation, int signal) {
  const std::string name = os::signal_name(signal);
  if (invocation.mode == config::Mode::kServe) {
    base::log_info("Shutting down: signal {} before the start", name);
    return 0;
  }
  return refuse(128 + signal, "interrupted by signal " + name);
}

// Whether this program could go on from the state of a running arbiter: tells its version, or why
// not.
int check_upgrade(const config::Invocation& invocation, const base::UniqueFd& state) {
  auto read = driver::read_sealed_state(state);
  if (!read) return refuse(1, read.error().message);
  const std::string trial = read->trial;
  auto launch = driver::prepare_process(invocation, nullptr);
  if (!launch) return refuse(1, launch.error().message);
  // A script serves the running arbiter alone, which reads its settings again afterwards.
  if (!invocation.script) {
    int signal = 0;
    auto settings = driver::load_settings_now(*launch, invocation, nullptr, &signal);
    if (!settings) return refuse(2, settings.error().message);
    // Without an answer to give it is an older version that asks, which passes no sockets.
    if (!trial.empty()) {
      const auto ready = driver::rehearse_start(std::move(*settings), std::move(*read));
      if (!ready) return refuse(1, ready.error().message);
    }
  }
  // On a line of its own, whatever others have written.
  if (!trial.empty()) std::printf("\n%s ", trial.c_str());
  std::puts(CORN_VERSION);
  return 0;
}

// Goes on with what the program before this one has left in this process.
int take_over(const std::vector<std::string>& arguments,
              const std::map<std::string, std::string>& environment, const std::string& program,
              const base::UniqueFd& state, driver::ScriptProcess* script) {
  auto left = driver::read_sealed_state(state);
  if (!left) return refuse(1, left.error().message);
  auto estate = driver::take_over(std::move(*left));
  if (!estate) return refuse(1, estate.error().message);
  const std::string directory = working_directory();
  config::Invocation invocation;
  driver::LaunchContext launch;
  config::Settings settings;
  const auto prepare = [&]() -> base::Status {
    auto read = config::read_invocation(arguments, environment, directory);
    if (!read) return tl::unexpected(read.error());
    auto prepared = driver::prepare_process(*read, &*estate);
    if (!prepared) return tl::unexpected(prepared.error());
    auto loaded = driver::load_settings_now(*prepared, *read, script, nullptr);
    if (!loaded) return tl::unexpected(loaded.error());
    invocation = std::move(*read);
    launch = std::move(*prepared);
    settings = std::move(*loaded);
    return {};
  };
  base::Status ready = prepare();
  if (!ready) ready = driver::await_readiness(*estate, prepare, ready.error());
  if (!ready) return refuse(2, ready.error().message);
  return serve(invocation, program, std::move(settings), std::move(launch), std::move(*estate),
               script);
}

int run(int argc, char** argv, const std::map<std::string, std::string>& environment,
        driver::ScriptProcess* script) {
  const auto to_check = driver::take_state_descriptor(driver::kCheckUpgradeVariable);
  const auto to_take_over = driver::take_state_descriptor(driver::kUpgradeVariable);
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (to_take_over) return take_over(arguments, environment, argv[0], *to_take_over, script);
  auto invocation = config::read_invocation(arguments, environment, working_directory());
  if (!invocation) return refuse(2, invocation.error().message);
  if (invocation->mode == config::Mode::kHelp) {
    std::fputs(config::help_text().c_str(), stdout);
    return 0;
  }
  if (invocation->mode == config::Mode::kVersion) {
    std::puts("arbiterd (corn) " CORN_VERSION);
    return 0;
  }
  if (to_check) return check_upgrade(*invocation, *to_check);
  auto launch = driver::prepare_process(*invocation, nullptr);
  if (!launch) return refuse(1, launch.error().message);
  int signal = 0;
  auto settings = driver::load_settings_now(*launch, *invocation, script, &signal);
  if (signal != 0) return end_early(*invocation, signal);
  if (!settings) return refuse(2, settings.error().message);
  switch (invocation->mode) {
    case config::Mode::kPrintConfig:
      std::fputs(config::print_config(*settings).c_str(), stdout);
      return 0;
    case config::Mode::kCheckConfig: {
      for (const std::string& note : settings->notes) {
        std::fprintf(stderr, "arbiterd: warning: %s\n", note.c_str());
      }
      const auto loads = driver::check_applications_now(*launch, *settings, script, &signal);
      if (signal != 0) return end_early(*invocation, signal);
      return loads ? 0 : refuse(1, loads.error().message);
    }
    case config::Mode::kServe:
      return serve(*invocation, argv[0], std::move(*settings), std::move(*launch), std::nullopt,
                   script);
    case config::Mode::kHelp:
    case config::Mode::kVersion:
      break;
  }
  return 0;
}

int main(int argc, char** argv) {
  const std::map<std::string, std::string> environment = read_environment();
  auto script = driver::ScriptProcess::take();
  if (!script) return refuse(1, script.error().message);
  const int status = run(argc, argv, environment, script->get());
  if (*script) (*script)->leave(status, kScriptLimit);
  return status;
}

}  // namespace
}  // namespace corn

int main(int argc, char** argv) { return corn::main(argc, argv); }
