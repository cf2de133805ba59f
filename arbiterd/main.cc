// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "arbiterd/config/sources.h"
#include "arbiterd/control/control_server.h"
#include "arbiterd/driver/settings_loader.h"
#include "arbiterd/driver/start.h"

namespace {

using namespace corn;

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

int serve(const config::Invocation& invocation, config::Settings settings,
          driver::LaunchContext launch) {
  auto instance = driver::Instance::start(invocation, std::move(settings), std::move(launch));
  if (!instance) return refuse(instance.error().status, instance.error().text);
  driver::Arbiter& arbiter = (*instance)->arbiter();
  auto control = control::ControlServer::start(
      {(*instance)->control_path(), (*instance)->name(), ::geteuid()}, arbiter.door());
  if (!control) {
    (*instance)->start_failed({1, control.error().message});
    return refuse(1, control.error().message);
  }
  const int status = arbiter.run();
  (*control)->stop();
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  auto invocation = config::read_invocation(arguments, read_environment(), working_directory());
  if (!invocation) return refuse(2, invocation.error().message);
  if (invocation->mode == config::Mode::kHelp) {
    std::fputs(config::help_text().c_str(), stdout);
    return 0;
  }
  if (invocation->mode == config::Mode::kVersion) {
    std::puts("arbiterd (corn) " CORN_VERSION);
    return 0;
  }
  auto launch = driver::prepare_process(*invocation);
  if (!launch) return refuse(1, launch.error().message);
  auto settings = driver::load_settings_now(*launch, *invocation);
  if (!settings) return refuse(2, settings.error().message);
  switch (invocation->mode) {
    case config::Mode::kPrintConfig:
      std::fputs(config::print_config(*settings).c_str(), stdout);
      return 0;
    case config::Mode::kCheckConfig: {
      const auto loads = driver::check_applications_now(*launch, *settings);
      return loads ? 0 : refuse(1, loads.error().message);
    }
    case config::Mode::kServe:
      return serve(*invocation, std::move(*settings), std::move(*launch));
    case config::Mode::kHelp:
    case config::Mode::kVersion:
      break;
  }
  return 0;
}
