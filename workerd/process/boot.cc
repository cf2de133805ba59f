// SPDX-License-Identifier: Apache-2.0
#include "workerd/process/boot.h"

#include <utility>

#include "base/log.h"
#include "workerd/link/signals.h"
#include "workerd/runtimes/asgi/asgi_application.h"
#include "workerd/runtimes/gevent/gevent_application.h"
#include "workerd/runtimes/python/gil.h"
#include "workerd/runtimes/python/loader.h"
#include "workerd/runtimes/python/logging_setup.h"
#include "workerd/runtimes/wsgi/wsgi_application.h"

namespace corn::process {

void tell(link::Link& link, base::Message message) {
  if (auto sent = link.send(std::move(message)); !sent) {
    base::log_error("arbiterd was not reached: {}", sent.error().message);
  }
}

void tell_files(link::Link& link, std::vector<std::string> paths) {
  constexpr std::size_t kMostBytes = base::kMaxMessageBytes / 2;
  base::LoadedFiles message;
  std::size_t bytes = 0;
  for (std::string& path : paths) {
    bytes += path.size() + sizeof(std::uint32_t);
    if (bytes > kMostBytes) {
      tell(link, std::exchange(message, {}));
      bytes = path.size();
    }
    message.paths.push_back(std::move(path));
  }
  tell(link, std::move(message));
}

int boot_failed(link::Link& link, const base::WorkerConfig& config, const app::LoadError& error) {
  const bool application = error.kind == base::BootFailure::kApplication;
  if (config.role == base::WorkerRole::kServe) {
    // With its traceback it is told by arbiterd, once for all workers.
    const std::size_t line_end = error.text.find('\n');
    base::log_error("{}: {}",
                    application ? "The application cannot be loaded" : "Worker cannot boot",
                    config.tells_failures ? error.text : error.text.substr(0, line_end));
  }
  tell(link, base::BootFailed{error.kind, base::shorten_middle(error.text)});
  return application ? kExitApplication : kExitWorker;
}

app::LoadError worker_error(std::string text) {
  return {base::BootFailure::kWorker, std::move(text)};
}

namespace {

// What comes before the application, and before it could import anything.
tl::expected<void, app::LoadError> prepare_python(const base::WorkerConfig& config) {
  if (config.worker_class == base::WorkerClass::kGevent) {
    if (auto patched = gevent::patch(); !patched) return patched;
  }
  if (auto ready = python::set_up_logging(config); !ready) {
    return tl::unexpected(worker_error(ready.error().message));
  }
  return {};
}

Loaded load_by_class(const base::WorkerConfig& config) {
  switch (config.worker_class) {
    case base::WorkerClass::kSync:
    case base::WorkerClass::kThreads:
      return wsgi::load(config);
    case base::WorkerClass::kGevent: {
      auto application = wsgi::load(config);
      if (!application) return application;
      return gevent::on_greenlets(std::move(*application));
    }
    case base::WorkerClass::kAsgi:
      return asgi::load(config);
    case base::WorkerClass::kNative:
      break;
  }
  return tl::unexpected(
      worker_error("this worker class is not available; use sync, gthread, gevent or asgi"));
}

}  // namespace

Loaded load_application(const base::WorkerConfig& config) {
  if (auto prepared = prepare_python(config); !prepared) {
    return tl::unexpected(std::move(prepared.error()));
  }
  auto application = load_by_class(config);
  // What an application installs while it loads must not make the worker deaf.
  if (const int taken = link::reclaim_signal_handlers(); taken > 0) {
    base::log_warning(
        "The application installed {} signal handler(s) while it was loaded that a worker "
        "needs for itself; they are not used (atexit runs code at a worker's end)",
        taken);
  }
  return application;
}

tl::expected<void, app::LoadError> preload_application(const base::WorkerConfig& config) {
  if (auto prepared = prepare_python(config); !prepared) return prepared;
  const bool asgi = config.worker_class == base::WorkerClass::kAsgi;
  const python::GilHold hold;
  auto callable = python::load_callable(config.application, asgi ? "asgi" : "wsgi");
  if (!callable) return tl::unexpected(std::move(callable.error()));
  python::keep_loaded();
  return {};
}

}  // namespace corn::process
