// SPDX-License-Identifier: Apache-2.0
#include "workerd/process/template.h"

#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/message.h"
#include "workerd/process/boot.h"
#include "workerd/process/control.h"
#include "workerd/process/fork.h"
#include "workerd/process/fork_loop.h"
#include "workerd/process/hook_sockets.h"
#include "workerd/runtimes/python/hooks.h"
#include "workerd/runtimes/python/interpreter.h"
#include "workerd/runtimes/python/loader.h"

namespace corn::process {
namespace {

// For exit handlers of what was loaded: nobody waits for a template's end.
constexpr unsigned kExitSeconds = 10;

class Template {
 public:
  Template(const base::WorkerConfig& config, base::Channel channel, Inheritance inheritance)
      : config_(config), channel_(std::move(channel)), inheritance_(std::move(inheritance)) {}

  int run() {
    if (auto failure = come_up()) return fail(*failure);
    tell(channel_, base::Ready{});
    const ForkLoop loop{
        .fork =
            [this](const base::Fork& order, std::vector<base::UniqueFd> descriptors) {
              fork(order, std::move(descriptors));
            },
        .run_hook =
            [this](const base::RunHook& order) {
              if (order.name == "when_ready") hook_sockets_.begin();
              tell(channel_, base::HookDone{order.token, base::shorten_middle(hooks_->run(
                                                             order.name, order.arguments))});
            },
        .reopen_logs = [this](const link::OpenFiles& files) { reopen_logs(files); }};
    const int status = loop.run(channel_, 0);
    ::signal(SIGALRM, SIG_DFL);
    ::alarm(kExitSeconds);
    interpreter_.reset();
    return status;
  }

 private:
  using Failure = std::optional<app::LoadError>;

  Failure come_up() {
    if (auto prepared = prepare_process(config_, inheritance_); !prepared) {
      return worker_error(prepared.error().message);
    }
    tell(channel_, base::Hello{::getpid(), CORN_VERSION});
    base::log_debug("Template is process {}", ::getpid());
    auto interpreter = bring_up_python(config_, inheritance_);
    if (!interpreter) return worker_error(interpreter.error().message);
    interpreter_ = std::move(*interpreter);
    auto hooks = python::Hooks::make(config_, inheritance_.script);
    if (!hooks) return worker_error(hooks.error().message);
    hooks_ = *hooks;
    if (!config_.preload) return std::nullopt;
    if (auto application = preload_application(config_); !application) return application.error();
    for (const std::string& path : config_.warm_up) {
      if (auto warm = python::warm_up(path); !warm) {
        base::log_error("Warm-up request {}: {}", path, warm.error().message);
      }
    }
    return std::nullopt;
  }

  int fail(const app::LoadError& error) {
    tell(channel_, base::BootFailed{error.kind, base::shorten_middle(error.text)});
    return error.kind == base::BootFailure::kApplication ? kExitApplication : kExitWorker;
  }

  void fork(const base::Fork& order, std::vector<base::UniqueFd> descriptors) {
    if (descriptors.empty()) {
      tell(channel_, base::ForkFailed{order.token, "the order to fork came without a channel"});
      return;
    }
    // The worker's own listeners are among the descriptors of the order; what pre_fork opens is for
    // the worker.
    std::vector<int> foreign = hook_sockets_.find();
    std::erase_if(foreign, [&](int socket) {
      return std::ranges::count(descriptors, socket, &base::UniqueFd::get) > 0;
    });
    std::string failure = hooks_->before_fork(age_of_next(descriptors.front()));
    if (failure.empty()) {
      // What stands in the buffer would be written by both.
      std::fflush(nullptr);
      const auto pid = fork_sibling(arbiter_);
      if (pid && *pid == 0) {
        give_up(foreign);
        std::exit(live_as_worker(order, std::move(descriptors)));
      }
      if (pid) {
        hooks_->forked(*pid);
        tell(channel_, base::Forked{order.token, *pid});
        return;
      }
      failure = pid.error().message;
    }
    tell(channel_, base::ForkFailed{order.token, base::shorten_middle(failure)});
  }

  int live_as_worker(const base::Fork& order, std::vector<base::UniqueFd> descriptors) {
    channel_ = base::Channel();
    signals_.restore();
    allow_signals();
    Inheritance inheritance;
    inheritance.forked = true;
    inheritance.log_is_open = true;
    inheritance.interpreter = std::move(interpreter_);
    inheritance.failure = hooks_->become_worker();
    if (inheritance.failure.empty()) {
      if (auto settled = settle(order); !settled) inheritance.failure = settled.error().message;
    }
    base::UniqueFd channel = std::move(descriptors.front());
    descriptors.erase(descriptors.begin());
    inheritance.descriptors = std::move(descriptors);
    return run_child(std::move(channel), std::move(inheritance));
  }

  void reopen_logs(const link::OpenFiles& files) const {
    if (auto status = base::reopen_log(link::find_file(files, config_.error_log)); !status) {
      base::log_error("{}; the old file stays in use", status.error().message);
    }
    if (config_.capture_output && config_.error_log != "-") {
      if (auto status = redirect_output(); !status) base::log_error("{}", status.error().message);
    }
  }

  const base::WorkerConfig& config_;
  const pid_t arbiter_ = ::getppid();
  base::Channel channel_;
  Inheritance inheritance_;
  QuietSignals signals_;
  HookSockets hook_sockets_;
  std::unique_ptr<python::Interpreter> interpreter_;
  python::Hooks* hooks_ = nullptr;  // once it has come up
};

}  // namespace

int run_template(const base::WorkerConfig& config, base::Channel channel, Inheritance inheritance) {
  return Template(config, std::move(channel), std::move(inheritance)).run();
}

}  // namespace corn::process
