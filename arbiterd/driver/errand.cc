// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/driver/errand.h"

#include <fmt/core.h>
#include <sys/epoll.h>

#include <cerrno>
#include <csignal>

#include "arbiterd/driver/convert.h"
#include "arbiterd/driver/script_process.h"

namespace corn::driver {

Errand::Errand(const ErrandContext& context, std::string name, Done done)
    : context_(context), name_(std::move(name)), done_(std::move(done)) {
  if (context_.under_way != nullptr) context_.under_way->insert(this);
}

Errand::~Errand() {
  if (context_.under_way != nullptr) context_.under_way->erase(this);
}

void start_process(const ErrandContext& context, const LaunchContext& launch,
                   const config::PoolSettings& pool, const base::WorkerConfig& config,
                   std::function<void(base::Result<LaunchedWorkerd>)> done) {
  if (context.script == nullptr) {
    return done(launch_workerd(context.launcher, launch, pool, config, {}));
  }
  base::WorkerConfig forked = config;
  forked.script = true;
  auto prepared = prepare_fork(launch, pool, forked, pool.environment);
  if (!prepared) return done(tl::unexpected(prepared.error()));
  context.script->fork(std::move(*prepared), std::move(done));
}

void Errand::start(const ErrandContext& context, const LaunchContext& launch,
                   const config::PoolSettings& pool, const base::WorkerConfig& config,
                   std::string name, base::Duration limit, Done done) {
  const std::shared_ptr<Errand> errand(new Errand(context, std::move(name), std::move(done)));
  // The callbacks hold the errand alive until its process has ended.
  errand->timer_ = context.timers.at(context.loop.now() + limit, [errand, limit] {
    errand->call_off(fmt::format("{} gave no answer within {} s and was killed", errand->name_,
                                 std::chrono::duration_cast<std::chrono::seconds>(limit).count()));
  });
  start_process(context, launch, pool, config, [errand](base::Result<LaunchedWorkerd> launched) {
    errand->on_start(std::move(launched));
  });
}

void Errand::call_off(const std::string& why) {
  const auto self = shared_from_this();
  if (!why_killed_.empty()) return;
  why_killed_ = why;
  if (pid_ != 0) {
    ::kill(-pid_, SIGKILL);  // its process group; not reaped yet, so that the number is its own
    std::ignore = context_.children.send_signal(pid_, SIGKILL);
    return;
  }
  context_.timers.cancel(timer_);
  done_(base::fail(why));
}

void Errand::finish_later(const base::Error& error) {
  context_.timers.cancel(timer_);
  context_.timers.at(context_.loop.now(),
                     [self = shared_from_this(), error] { self->done_(tl::unexpected(error)); });
}

void Errand::on_start(base::Result<LaunchedWorkerd> launched) {
  if (!why_killed_.empty()) return;  // it finds its channel closed
  if (!launched) return finish_later(launched.error());
  pid_ = launched->child.pid;
  channel_ = std::move(launched->channel);
  const auto self = shared_from_this();
  if (auto watched = context_.children.watch(
          pid_, std::move(launched->child.pidfd),
          [self](pid_t, const os::ExitStatus& status) { self->on_exit(status); });
      !watched) {
    return finish_later(watched.error());
  }
  if (auto watched = context_.loop.watch(channel_.descriptor(), EPOLLIN,
                                         [self](std::uint32_t) { self->on_channel(); });
      !watched) {
    base::log_warning("cannot listen to {}: {}", name_, watched.error().message);
  }
}

void Errand::on_channel() {
  for (;;) {
    auto received = channel_.receive();
    if (!received && received.error().os_errno == EBADMSG) continue;
    if (!received) return context_.loop.unwatch(channel_.descriptor());
    if (!*received) return;
    if (!std::holds_alternative<base::Hello>(**received)) answer_ = std::move(**received);
  }
}

void Errand::on_exit(const os::ExitStatus& status) {
  on_channel();  // what was sent just before the end
  context_.loop.unwatch(channel_.descriptor());
  context_.timers.cancel(timer_);
  if (answer_) return done_(std::move(*answer_));
  if (!why_killed_.empty()) return done_(base::fail(why_killed_));
  done_(base::fail(fmt::format("{}: workerd ended without an answer ({})", name_,
                               core::to_string(to_core(status)))));
}

}  // namespace corn::driver
