// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/driver/template_process.h"

#include <fmt/core.h>
#include <sys/epoll.h>

#include <cerrno>
#include <csignal>
#include <utility>

#include "arbiterd/driver/convert.h"
#include "base/log.h"

namespace corn::driver {
namespace {

// From being told to leave, or from a failed boot, to SIGKILL: exit handlers may run.
constexpr base::Duration kLeaveLimit = std::chrono::seconds(5);
// From SIGABRT, which makes it tell where it hangs, to SIGKILL.
constexpr base::Duration kAbortLimit = std::chrono::seconds(1);

}  // namespace

TemplateProcess::TemplateProcess(const ErrandContext& context, Observer& observer,
                                 const config::PoolSettings& settings, core::Generation generation)
    : context_(context),
      observer_(observer),
      settings_(settings),
      generation_(generation),
      requests_(context.children, [this] { on_begun(); }) {}

TemplateProcess::~TemplateProcess() {
  cancel_timers();
  if (channel_) context_.loop.unwatch(channel_.descriptor());
  if (pid_ != 0) context_.children.unwatch(pid_);
}

std::string TemplateProcess::shown() const {
  return fmt::format("the template process of pool {}, generation {} (pid:{})", pool(), generation_,
                     pid_);
}

void TemplateProcess::start(const LaunchContext& launch, const std::string& instance) {
  base::WorkerConfig config = settings_.worker;
  config.role = base::WorkerRole::kTemplate;
  config.instance = instance;
  config.generation = generation_;
  // It runs hooks as the arbiter's own user; workers become theirs when they are forked.
  config::PoolSettings own = settings_;
  own.user.clear();
  own.group.clear();
  own.umask.reset();
  if (const base::Duration limit = settings_.spec.boot_timeout; limit > base::Duration::zero()) {
    boot_timer_ = context_.timers.at(context_.loop.now() + limit, [this] { on_boot_limit(); });
  }
  start_process(context_, launch, own, config,
                [weak = weak_from_this()](base::Result<LaunchedWorkerd> launched) {
                  if (const auto self = weak.lock()) self->on_start(std::move(launched));
                });
}

void TemplateProcess::on_start(base::Result<LaunchedWorkerd> launched) {
  if (!launched) return end_later(launched.error().message);
  pid_ = launched->child.pid;
  channel_ = std::move(launched->channel);
  if (auto watched =
          context_.children.watch(pid_, std::move(launched->child.pidfd),
                                  [this](pid_t, const os::ExitStatus& status) { on_exit(status); });
      !watched) {
    pid_ = 0;
    return end_later(watched.error().message);
  }
  if (auto watched = context_.loop.watch(channel_.descriptor(), EPOLLIN,
                                         [this](std::uint32_t) { on_channel(); });
      !watched) {
    kill("cannot listen to it: " + watched.error().message);
  }
  if (retiring_) leave_if_done();
}

bool TemplateProcess::slow() const {
  const auto& current = requests_.current();
  return current && !current->hook.empty() && !current->holds_forks &&
         context_.loop.now() - begun_at_ >= kSlowHook;
}

void TemplateProcess::retire() {
  retiring_ = true;
  leave_if_done();
}

void TemplateProcess::fail_boot(const std::string& text) {
  if (!boot_error_) boot_error_ = BootError{base::BootFailure::kWorker, text};
  requests_.end(text);
  retire();
}

void TemplateProcess::leave_if_done() {
  const bool busy = ready_ && !boot_error_ && !requests_.idle();
  if (!retiring_ || told_to_leave_ || pid_ == 0 || busy) return;
  told_to_leave_ = true;
  // One that loads the application doesn't listen, and nobody is served by it.
  if (!ready_ && !boot_error_) {
    killed_ = true;
    std::ignore = context_.children.send_signal(pid_, SIGKILL);
    return;
  }
  if (!ready_ || !channel_.send(base::Drain{})) {
    std::ignore = context_.children.send_signal(pid_, SIGTERM);
  }
  kill_timer_ =
      context_.timers.at(context_.loop.now() + kLeaveLimit, [this] { kill("it does not leave"); });
}

void TemplateProcess::pass_logs(const base::TakeLogs& order, const std::vector<int>& files) const {
  if (!channel_) return;
  if (auto sent = channel_.send(order, files); !sent) {
    base::log_warning("{} goes on with the old log file: {}", shown(), sent.error().message);
  }
}

void TemplateProcess::kill(const std::string& why) {
  if (killed_ || pid_ == 0) return;
  killed_ = true;
  base::log_error("Killing {}: {}", shown(), why);
  std::ignore = context_.children.send_signal(pid_, SIGKILL);
}

void TemplateProcess::on_channel() {
  const auto self = shared_from_this();
  for (;;) {
    auto received = channel_.receive();
    if (!received && received.error().os_errno == EBADMSG) {
      base::log_warning("{} sent a message that can't be read, ignoring: {}", shown(),
                        received.error().message);
      continue;
    }
    if (!received) return context_.loop.unwatch(channel_.descriptor());
    if (!*received) return;
    on_message(**received);
    leave_if_done();
  }
}

void TemplateProcess::on_message(const base::Message& message) {
  if (std::holds_alternative<base::Ready>(message)) {
    if (ready_ || boot_error_) return;
    ready_ = true;
    if (boot_timer_) context_.timers.cancel(*std::exchange(boot_timer_, {}));
    observer_.on_ready(*this);
    requests_.open(channel_);
  } else if (const auto* failed = std::get_if<base::BootFailed>(&message)) {
    if (ready_ || boot_error_) return;
    boot_error_ = BootError{failed->kind, failed->text};
    kill_timer_ = context_.timers.at(context_.loop.now() + kLeaveLimit,
                                     [this] { kill("it could not boot and does not leave"); });
  } else if (const auto* unsupported = std::get_if<base::Unsupported>(&message)) {
    kill(fmt::format("it doesn't understand message type {} version {}", unsupported->type,
                     unsupported->version));
  } else {
    requests_.on_message(message);
  }
}

void TemplateProcess::on_begun() {
  begun_at_ = context_.loop.now();
  for (auto* timer : {&slow_timer_, &limit_timer_}) {
    if (*timer) context_.timers.cancel(*std::exchange(*timer, {}));
  }
  const std::uint64_t serial = requests_.serial();
  const auto at = [&](base::Duration delay, auto call) {
    return context_.timers.at(begun_at_ + delay, [this, serial, call] {
      if (requests_.current() && requests_.serial() == serial) call();
    });
  };
  if (!requests_.current()->hook.empty() && !requests_.current()->holds_forks) {
    slow_timer_ = at(kSlowHook, [this] { observer_.on_slow(*this); });
  }
  limit_timer_ = at(settings_.hook_timeout, [this] { on_request_limit(); });
}

void TemplateProcess::on_request_limit() {
  const ForkRequest& request = *requests_.current();
  const std::string what = request.hook.empty() ? "forking a worker, with the hook pre_fork,"
                                                : fmt::format("the hook {} of {}", request.hook,
                                                              settings_.worker.config_file.empty()
                                                                  ? settings_.worker.application
                                                                  : settings_.worker.config_file);
  kill(fmt::format("{} has taken longer than hook_timeout ({})", what,
                   core::to_text(settings_.hook_timeout)));
}

void TemplateProcess::on_boot_limit() {
  boot_timer_.reset();
  boot_error_ = BootError{base::BootFailure::kWorker,
                          fmt::format("{} was not ready within boot_timeout ({})", shown(),
                                      core::to_text(settings_.spec.boot_timeout))};
  if (pid_ == 0) return end_later(boot_error_->text);
  base::log_critical("{}", boot_error_->text);
  std::ignore = context_.children.send_signal(pid_, SIGABRT);
  kill_timer_ =
      context_.timers.at(context_.loop.now() + kAbortLimit, [this] { kill("it does not end"); });
}

void TemplateProcess::on_exit(const os::ExitStatus& status) {
  const auto self = shared_from_this();
  on_channel();
  context_.loop.unwatch(channel_.descriptor());
  const bool by_kill = status.kind == os::ExitStatus::Kind::kSignaled && status.code == SIGKILL;
  boot_was_killed_ = by_kill && !ready_ && !killed_ && !boot_error_;
  end(core::to_string(to_core(status)));
}

// Not at once: who has started it doesn't expect that.
void TemplateProcess::end_later(const std::string& why) {
  context_.timers.at(context_.loop.now(), [weak = weak_from_this(), why] {
    if (const auto self = weak.lock()) self->end(why);
  });
}

void TemplateProcess::end(const std::string& how) {
  cancel_timers();
  const std::string text = fmt::format("{} ended: {}", shown(), how);
  pid_ = 0;
  if (!ready_ && !boot_error_) boot_error_ = BootError{base::BootFailure::kWorker, text};
  if (!told_to_leave_ && !killed_ && (ready_ || boot_was_killed_)) {
    base::log_error("Unexpectedly {}", text);
  }
  retiring_ = true;
  if (requests_.current()) ended_in_ = requests_.current()->hook;
  requests_.end(text);
  observer_.on_end(*this, boot_error_);
}

void TemplateProcess::cancel_timers() {
  for (auto* timer : {&boot_timer_, &slow_timer_, &limit_timer_, &kill_timer_}) {
    if (*timer) context_.timers.cancel(*std::exchange(*timer, {}));
  }
}

}  // namespace corn::driver
