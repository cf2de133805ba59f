// SPDX-License-Identifier: Apache-2.0
// workerd: one worker process, started by arbiterd with a channel as descriptor 3 that says what
// it is to do. This file connects the rooms and decides in which order a worker comes up and goes
// down.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/process_title.h"
#include "base/scoreboard.h"
#include "base/unique_fd.h"
#include "base/worker_config.h"
#include "workerd/app/application.h"
#include "workerd/link/link.h"
#include "workerd/link/signals.h"
#include "workerd/runtimes/python/config_file.h"
#include "workerd/runtimes/python/interpreter.h"
#include "workerd/runtimes/python/stacks.h"
#include "workerd/runtimes/wsgi/wsgi_application.h"
#include "workerd/server/fork_fence.h"
#include "workerd/server/server.h"

namespace corn {
namespace {

using base::Milliseconds;

constexpr int kExitUsage = 2;
constexpr int kExitWorker = 3;       // cannot serve
constexpr int kExitApplication = 4;  // the application cannot be loaded

// A worker that is told to end at once has this long to leave the application and run its exit
// handlers; arbiterd kills after two seconds.
constexpr Milliseconds kQuitLimit{1000};
// Beyond the grace that requests in flight were given, for cutting them off in order.
constexpr Milliseconds kDrainMargin{500};
// For exit handlers and threads of the application where graceful_timeout sets no limit.
constexpr Milliseconds kExitLimit{30000};
// How long a stack dump waits for the interpreter's lock, and an aborting worker for its last
// answers. Together below the 250 ms that arbiterd leaves between SIGABRT and SIGKILL.
constexpr Milliseconds kDumpWait{100};
constexpr Milliseconds kAbortWait{100};
// For the stacks of a worker that is to live on: a thread that keeps the interpreter's lock for so
// long, though another wants it, hangs outside of Python; and the longest wait. Below kDumpLimit of
// arbiterd/driver/dump.h.
constexpr Milliseconds kStillTime{500};
constexpr Milliseconds kLockWait{1200};

// Every thread's stack as text.
std::string stacks() {
  const base::UniqueFd file(::memfd_create("stacks", MFD_CLOEXEC));
  if (!file) return "(no stacks: " + std::string(std::strerror(errno)) + ")\n";
  python::dump_stacks_carefully(file.get(), kDumpWait);
  struct stat status {};
  if (::fstat(file.get(), &status) < 0) return {};
  std::string text(static_cast<std::size_t>(status.st_size), '\0');
  const ssize_t n = ::pread(file.get(), text.data(), text.size(), 0);
  text.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  return text;
}

base::Status redirect_output() {
  for (const int target : {STDOUT_FILENO, STDERR_FILENO}) {
    if (::dup2(base::log_descriptor(), target) < 0) {
      return base::fail_errno("cannot direct the application's output to the error log", errno);
    }
  }
  return {};
}

// What the link's thread may do with the worker, whatever state that is in.
class Control {
 public:
  Control(const base::WorkerConfig& config, link::Link& link) : config_(config), link_(link) {}
  ~Control() { link_.stop(); }
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;

  base::Status start(Milliseconds orphan_timeout, link::Estate estate) {
    return link_.start({.drain = [this](Milliseconds grace, bool all) { drain(grace, all); },
                        .quit = [this] { quit(); },
                        .reopen_logs = [this] { reopen_logs(); },
                        .dump = [] { return python::collect_stacks(kStillTime, kLockWait); },
                        .abort = [this] { abort(); },
                        .overdue = [this] { overdue(); }},
                       config_.graceful_timeout, orphan_timeout, std::move(estate));
  }

  void begin_serving(server::Server& server) {
    const std::lock_guard lock(mutex_);
    server_ = &server;
    state_ = State::kServing;
  }

  // Exit handlers and threads of the application may take a while, but not for ever.
  void end_serving(int status) {
    const std::lock_guard lock(mutex_);
    server_ = nullptr;
    state_ = State::kEnding;
    const bool limited = config_.graceful_timeout.count() > 0;
    link_.exit_by(limited ? config_.graceful_timeout : kExitLimit, status);
  }

 private:
  enum class State { kBooting, kServing, kEnding };

  void drain(Milliseconds grace, bool empty_backlog) {
    const std::lock_guard lock(mutex_);
    leave_if_booting();
    if (state_ != State::kServing) return;
    server_->drain(grace, empty_backlog);
    if (grace.count() > 0) link_.exit_by(grace + kDrainMargin, 0);
  }

  void quit() {
    const std::lock_guard lock(mutex_);
    leave_if_booting();
    if (state_ == State::kServing) server_->quit();
    link_.exit_by(kQuitLimit, 0);
  }

  // Nobody is being served, and the application may take minutes to load.
  void leave_if_booting() const {
    if (state_ == State::kBooting) ::_exit(0);
  }

  void reopen_logs() {
    if (auto status = base::reopen_log(); !status) base::log_error("{}", status.error().message);
    if (config_.capture_output && config_.error_log != "-") {
      if (auto status = redirect_output(); !status) base::log_error("{}", status.error().message);
    }
    const std::lock_guard lock(mutex_);
    if (server_ != nullptr) server_->reopen_logs();
  }

  void abort() {
    base::log_critical("Worker aborted by SIGABRT (pid: {}); its requests and stacks:\n{}{}",
                       ::getpid(), requests(), stacks());
    const std::lock_guard lock(mutex_);
    if (server_ != nullptr) server_->abort_requests(kAbortWait);
  }

  void overdue() {
    base::log_warning(
        "Worker does not end in time and is cut off (pid: {}); its requests and stacks:\n{}{}",
        ::getpid(), requests(), stacks());
    const std::lock_guard lock(mutex_);
    if (server_ != nullptr) server_->flush_logs();
  }

  [[nodiscard]] std::string requests() const {
    const std::lock_guard lock(mutex_);
    return server_ != nullptr ? server_->describe_requests() : std::string();
  }

  const base::WorkerConfig& config_;
  link::Link& link_;
  mutable std::mutex mutex_;
  State state_ = State::kBooting;     // guarded by mutex_
  server::Server* server_ = nullptr;  // guarded by mutex_
};

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

void tell(link::Link& link, base::Message message) {
  if (auto sent = link.send(std::move(message)); !sent) {
    base::log_error("arbiterd was not reached: {}", sent.error().message);
  }
}

// Says why the worker can't be had. Its log gets all of it, but not in a check, whose result
// arbiterd prints.
int boot_failed(link::Link& link, const base::WorkerConfig& config, const app::LoadError& error) {
  const bool application = error.kind == base::BootFailure::kApplication;
  if (config.role == base::WorkerRole::kServe) {
    base::log_error("{}: {}",
                    application ? "The application cannot be loaded" : "Worker cannot boot",
                    error.text);
  }
  tell(link, base::BootFailed{error.kind, base::shorten_middle(error.text)});
  return application ? kExitApplication : kExitWorker;
}

app::LoadError worker_error(std::string text) {
  return {base::BootFailure::kWorker, std::move(text)};
}

tl::expected<std::unique_ptr<app::Application>, app::LoadError> load_application(
    const base::WorkerConfig& config) {
  switch (config.worker_class) {
    case base::WorkerClass::kSync:
    case base::WorkerClass::kThreads: {
      auto application = wsgi::load(config);
      // What an application installs while it loads must not make the worker deaf.
      if (const int taken = link::reclaim_signal_handlers(); taken > 0) {
        base::log_warning(
            "The application installed {} signal handler(s) while it was loaded that a worker "
            "needs for "
            "itself; they are not used (atexit runs code at a worker's end)",
            taken);
      }
      return application;
    }
    case base::WorkerClass::kGevent:
    case base::WorkerClass::kAsgi:
    case base::WorkerClass::kNative:
      break;
  }
  return tl::unexpected(worker_error("this worker class is not available; use sync or gthread"));
}

// An inherited descriptor, which is not for programs that the application starts, nor for processes
// that it forks, while it is loaded included.
base::UniqueFd take_descriptor(int fd) {
  ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  server::close_in_forks(fd);
  return base::UniqueFd(fd);
}

std::vector<base::UniqueFd> take_listeners(const base::WorkerConfig& config) {
  std::vector<base::UniqueFd> listeners;
  for (std::size_t i = 0; i < config.listeners.size(); ++i) {
    listeners.push_back(take_descriptor(base::kFirstListenerFd + static_cast<int>(i)));
  }
  return listeners;
}

server::HandOffEnds take_hand_off(const base::WorkerConfig& config) {
  if (!config.hand_off) return {};
  const int first = base::kFirstListenerFd + static_cast<int>(config.listeners.size());
  return {take_descriptor(first), take_descriptor(first + 1)};
}

int serve(const base::WorkerConfig& config, link::Link& link, Control& control) {
  auto listeners = take_listeners(config);
  auto hand_off = take_hand_off(config);
  ::fcntl(base::kScoreboardFd, F_SETFD, FD_CLOEXEC);
  auto scoreboard = base::ScoreboardMap::attach(base::UniqueFd(base::kScoreboardFd));
  if (!scoreboard) return boot_failed(link, config, worker_error(scoreboard.error().message));

  auto application = load_application(config);
  if (!application) return boot_failed(link, config, application.error());

  const auto retiring = [&link] {
    base::log_info("Autorestarting worker after current request.");
    tell(link, base::Retiring{"max-requests"});
  };
  server::Server server(config, std::move(listeners), *scoreboard, **application, retiring,
                        std::move(hand_off));
  if (auto prepared = server.prepare(); !prepared) {
    return boot_failed(link, config, worker_error(prepared.error().message));
  }
  control.begin_serving(server);
  tell(link, base::Ready{});
  const int status = server.run();
  control.end_serving(status);
  base::log_info("Worker exiting (pid: {})", ::getpid());
  return status;
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

base::Result<link::Estate> make_estate(const base::WorkerConfig& config) {
  std::vector<int> listeners;
  for (std::size_t i = 0; i < config.listeners.size(); ++i) {
    listeners.push_back(base::kFirstListenerFd + static_cast<int>(i));
  }
  std::vector<int> hand_off;
  if (config.hand_off) {
    const int first = base::kFirstListenerFd + static_cast<int>(listeners.size());
    hand_off = {first, first + 1};
  }
  auto estate = link::Estate::copy(config.adoption_socket, config.worker_id, base::kScoreboardFd,
                                   listeners, hand_off);
  if (estate) {
    for (const auto& listener : estate->listeners) server::close_in_forks(listener.get());
    for (const auto& end : estate->hand_off) server::close_in_forks(end.get());
  }
  return estate;
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

bool is_channel(int fd) {
  int type = 0;
  socklen_t size = sizeof type;
  return ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET;
}

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--version") == 0) {
    std::puts("workerd " CORN_VERSION);
    return 0;
  }
  if (argc > 1 || !is_channel(base::kChannelFd)) {
    std::fputs("workerd is started by arbiterd, not by hand: run 'arbiterd module:callable'\n",
               stderr);
    return kExitUsage;
  }
  auto link = link::Link::open(base::UniqueFd(base::kChannelFd));
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

}  // namespace
}  // namespace corn

int main(int argc, char** argv) { return corn::main(argc, argv); }
