// SPDX-License-Identifier: Apache-2.0
#include "workerd/process/child.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "base/channel.h"
#include "base/log.h"
#include "base/log_outlets.h"
#include "base/process_title.h"
#include "base/worker_config.h"
#include "workerd/link/link.h"
#include "workerd/link/signals.h"
#include "workerd/process/boot.h"
#include "workerd/process/control.h"
#include "workerd/process/descriptors.h"
#include "workerd/process/serve.h"
#include "workerd/process/template.h"
#include "workerd/runtimes/python/code_files.h"
#include "workerd/runtimes/python/config_file.h"
#include "workerd/runtimes/python/crash_record.h"
#include "workerd/runtimes/python/gil.h"
#include "workerd/runtimes/python/hooks.h"
#include "workerd/runtimes/python/interpreter.h"
#include "workerd/runtimes/python/loader.h"
#include "workerd/runtimes/python/object.h"

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

base::Status renew_configuration(PyObject* script) {
  auto renewed = python::reload_script(script);
  if (!renewed) return tl::unexpected(renewed.error());
  const python::GilHold hold;
  *renewed = python::Ref();
  return {};
}

int check(const base::WorkerConfig& config, link::Link& link, PyObject* script) {
  if (script != nullptr) {
    if (auto renewed = renew_configuration(script); !renewed) {
      return boot_failed(link, config, worker_error(renewed.error().message));
    }
  }
  auto application = load_application(config);
  if (!application) return boot_failed(link, config, application.error());
  tell(link, base::Ready{});
  return 0;
}

int evaluate_configuration(const base::WorkerConfig& config, link::Link& link, PyObject* script) {
  base::Message message = script != nullptr ? python::evaluate_script(script)
                                            : python::evaluate_config_file(config.config_file);
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

// gunicorn's, after a worker that could not boot as well.
void call_worker_exit() {
  python::Hooks* hooks = python::Hooks::current();
  if (hooks == nullptr || !hooks->is_set("worker_exit")) return;
  if (const std::string error = hooks->worker_exit(); !error.empty()) base::log_error("{}", error);
}

int work(const base::WorkerConfig& config, link::Link& link, Control& control,
         Descriptors descriptors, const Inheritance& inheritance, base::LogOutlets outlets) {
  switch (config.role) {
    case base::WorkerRole::kServe: {
      const int status = serve(config, link, control, std::move(descriptors), std::move(outlets));
      control.end_serving(status);
      call_worker_exit();
      return status;
    }
    case base::WorkerRole::kCheck:
      return check(config, link, inheritance.script);
    case base::WorkerRole::kConfigHost:
      return evaluate_configuration(config, link, inheritance.script);
    case base::WorkerRole::kTemplate:
      break;
  }
  return boot_failed(link, config, worker_error("a template has no link"));
}

// Brings the process up to where the application can be loaded, and does its job.
int run(const base::WorkerConfig& config, link::Link& link, Inheritance inheritance) {
  const bool serves = config.role == base::WorkerRole::kServe;
  Descriptors descriptors;
  if (serves) {
    auto taken = Descriptors::take(config, inheritance);
    if (!taken) return boot_failed(link, config, worker_error(taken.error().message));
    descriptors = std::move(*taken);
  }
  const base::Status prepared =
      prepare_process(config, inheritance, std::move(descriptors.error_log));
  base::LogOutlets outlets;
  if (serves) {
    outlets = base::open_log_outlets(config.statsd, config.syslog);
    base::tell_log_outlets(outlets);
    base::log_info("Booting worker with pid: {}", ::getpid());
  }
  if (!prepared && !inheritance.forked) {
    return boot_failed(link, config, worker_error(prepared.error().message));
  }
  tell(link, base::Hello{::getpid(), CORN_VERSION});

  // What others than this function see lies not on its stack, which greenlets may be on meanwhile.
  const auto control_object = std::make_unique<Control>(config, link);
  Control& control = *control_object;
  base::Result<link::Estate> estate = link::Estate();
  if (serves) estate = descriptors.make_estate(config);
  if (!estate) return boot_failed(link, config, worker_error(estate.error().message));
  // Whoever waits for a check or for settings is gone with arbiterd.
  if (auto started =
          control.start(serves ? config.orphan_timeout : Milliseconds{1}, std::move(*estate));
      !started) {
    return boot_failed(link, config, worker_error(started.error().message));
  }
  auto interpreter = bring_up_python(config, inheritance);
  if (!interpreter) return boot_failed(link, config, worker_error(interpreter.error().message));
  link::reclaim_signal_handlers();

  int status = 0;
  if (prepared) {
    status = work(config, link, control, std::move(descriptors), inheritance, std::move(outlets));
  } else {
    status = boot_failed(link, config, worker_error(prepared.error().message));
    if (serves) call_worker_exit();
  }
  control.end_serving(status);
  // Whoever has sent it for an answer waits for its end, and threads that a configuration file has
  // started may live on for ever.
  if (!serves && python::Interpreter::would_wait()) {
    python::Interpreter::finish_without_threads();
    link.stop();
    std::fflush(nullptr);
    ::_exit(status);
  }
  return status;
}

}  // namespace

base::Status prepare_process(const base::WorkerConfig& config, const Inheritance& inheritance,
                             base::UniqueFd error_log) {
  if (auto set = base::set_process_title(title_of(config)); !set) {
    base::log_debug("No process title: {}, ignoring", set.error().message);
  }
  // The same file as its maker's; what was opened there may have been renamed since. The
  // descriptor's number stays: crash handlers know it.
  auto opened = inheritance.log_is_open ? base::reopen_log(error_log.get())
                                        : base::open_log(log_options(config), std::move(error_log));
  if (!opened) return opened;
  if (inheritance.log_is_open) {
    if (auto renewed = python::renew_crash_record(); !renewed) return renewed;
  }
  if (config.capture_output && config.error_log != "-") {
    if (auto redirected = redirect_output(); !redirected) return redirected;
  }
  if (!inheritance.failure.empty()) return base::fail(inheritance.failure);
  const std::string& directory = config.working_directory;
  if (inheritance.script != nullptr && !directory.empty() && ::chdir(directory.c_str()) != 0) {
    return base::fail_errno("cannot change to the directory '" + directory + "'", errno);
  }
  return {};
}

base::Result<std::unique_ptr<python::Interpreter>> bring_up_python(const base::WorkerConfig& config,
                                                                   Inheritance& inheritance) {
  if (inheritance.interpreter) return std::move(inheritance.interpreter);
  if (config.report_files) python::CodeFiles::record();
  python::InterpreterOptions options = python::InterpreterOptions::from(config);
  options.fault_descriptor = base::log_descriptor();
  options.fault_records = config.log_json;
  if (inheritance.script == nullptr) return python::Interpreter::start(options);
  python::load_from_script(inheritance.script);
  return python::Interpreter::adopt(options);
}

int run_child(base::UniqueFd channel_descriptor, Inheritance inheritance) {
  base::Channel channel(std::move(channel_descriptor));
  auto received = link::receive_configuration(channel);
  if (!received) {
    base::log_error("Worker cannot boot: {}", received.error().message);
    return kExitWorker;
  }
  const auto config = std::make_unique<const base::WorkerConfig>(std::move(*received));
  if (config->role == base::WorkerRole::kTemplate) {
    return run_template(*config, std::move(channel), std::move(inheritance));
  }
  auto link = link::Link::open(channel.take());
  if (!link) {
    base::log_error("Worker cannot boot: {}", link.error().message);
    return kExitWorker;
  }
  return run(*config, **link, std::move(inheritance));
}

}  // namespace corn::process
