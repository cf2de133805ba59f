// SPDX-License-Identifier: Apache-2.0
#include "workerd/process/child.h"

#include <unistd.h>

#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "base/log.h"
#include "base/process_title.h"
#include "base/worker_config.h"
#include "workerd/link/link.h"
#include "workerd/link/signals.h"
#include "workerd/process/boot.h"
#include "workerd/process/control.h"
#include "workerd/process/serve.h"
#include "workerd/runtimes/python/config_file.h"
#include "workerd/runtimes/python/interpreter.h"

namespace corn::process {
namespace {

using base::Milliseconds;

base::LogOptions log_options(const base::WorkerConfig& config) {
  base::LogOptions options;
  options.path = config.error_log;
  options.format = config.log_json ? base::LogFormat::kJson : base::LogFormat::kText;
  constexpr std::pair<std::string_view, base::LogLevel> kLevels[] = {
      {"debug", base::LogLevel::kDebug},
      {"info", base::LogLevel::kInfo},
      {"warning", base::LogLevel::kWarning},
      {"error", base::LogLevel::kError},
      {"critical", base::LogLevel::kCritical}};
  for (const auto& [name, level] : kLevels) {
    if (name == config.log_level) options.level = level;
  }
  return options;
}

int check(const base::WorkerConfig& config, link::Link& link) {
  auto application = load_application(config);
  if (!application) return boot_failed(link, config, application.error());
  tell(link, base::Ready{});
  return 0;
}

int evaluate_configuration(const base::WorkerConfig& config, link::Link& link) {
  base::Message message = python::evaluate_config_file(config.config_file);
  const bool failed = std::holds_alternative<base::ConfigFailed>(message);
  tell(link, std::move(message));
  return failed ? kExitApplication : 0;
}

std::string title_of(const base::WorkerConfig& config) {
  switch (config.role) {
    case base::WorkerRole::kServe:
      return "corn: worker [" + config.instance + "]";
    case base::WorkerRole::kCheck:
      return "corn: check [" + config.instance + "]";
    case base::WorkerRole::kConfigHost:
      return "corn: config [" + config.config_file + "]";
    case base::WorkerRole::kTemplate:
      return "corn: template [" + config.instance + "]";
  }
  return "corn: worker";
}

// Brings the process up to where the application can be loaded, and does its job.
int run(const base::WorkerConfig& config, link::Link& link) {
  const bool serves = config.role == base::WorkerRole::kServe;
  if (auto set = base::set_process_title(title_of(config)); !set) {
    base::log_debug("No process title: {}, ignoring", set.error().message);
  }
  if (auto opened = base::open_log(log_options(config)); !opened) {
    return boot_failed(link, config, worker_error(opened.error().message));
  }
  if (serves) base::log_info("Booting worker with pid: {}", ::getpid());
  if (config.capture_output && config.error_log != "-") {
    if (auto redirected = redirect_output(); !redirected) {
      return boot_failed(link, config, worker_error(redirected.error().message));
    }
  }
  tell(link, base::Hello{::getpid(), CORN_VERSION});

  Control control(config, link);
  base::Result<link::Estate> estate = link::Estate();
  if (serves) estate = make_estate(config);
  if (!estate) return boot_failed(link, config, worker_error(estate.error().message));
  // Whoever waits for a check or for settings is gone with arbiterd.
  if (auto started =
          control.start(serves ? config.orphan_timeout : Milliseconds{1}, std::move(*estate));
      !started) {
    return boot_failed(link, config, worker_error(started.error().message));
  }
  python::InterpreterOptions options = python::InterpreterOptions::from(config);
  options.fault_descriptor = base::log_descriptor();
  options.fault_records = config.log_json;
  auto interpreter = python::Interpreter::start(options);
  if (!interpreter) return boot_failed(link, config, worker_error(interpreter.error().message));
  link::reclaim_signal_handlers();

  int status = 0;
  switch (config.role) {
    case base::WorkerRole::kServe:
      status = serve(config, link, control);
      break;
    case base::WorkerRole::kCheck:
      status = check(config, link);
      break;
    case base::WorkerRole::kConfigHost:
      status = evaluate_configuration(config, link);
      break;
    case base::WorkerRole::kTemplate:
      status = boot_failed(link, config, worker_error("this workerd makes no templates"));
      break;
  }
  control.end_serving(status);
  return status;
}

}  // namespace

int run_child(base::UniqueFd channel) {
  auto link = link::Link::open(std::move(channel));
  if (!link) {
    base::log_error("Worker cannot boot: {}", link.error().message);
    return kExitWorker;
  }
  auto config = (*link)->receive_configuration();
  if (!config) {
    base::log_error("Worker cannot boot: {}", config.error().message);
    return kExitWorker;
  }
  return run(*config, **link);
}

}  // namespace corn::process
