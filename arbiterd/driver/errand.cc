// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/driver/errand.h"

#include <fmt/core.h>
#include <sys/epoll.h>

#include <cerrno>
#include <csignal>

#include "arbiterd/driver/convert.h"

namespace corn::driver {

Errand::Errand(const ErrandContext& context, std::string name, Done done)
    : context_(context), name_(std::move(name)), done_(std::move(done)) {}

void Errand::start(const ErrandContext& context, const LaunchContext& launch,
                   const config::PoolSettings& pool, const base::WorkerConfig& config,
                   std::string name, base::Duration limit, Done done) {
  const std::shared_ptr<Errand> errand(new Errand(context, std::move(name), std::move(done)));
  const auto fail_later = [&](const base::Error& error) {
    context.timers.at(context.loop.now(),
                      [errand, error] { errand->done_(tl::unexpected(error)); });
  };
  auto launched = launch_workerd(context.launcher, launch, pool, config, {});
  if (!launched) return fail_later(launched.error());
  errand->pid_ = launched->child.pid;
  errand->channel_ = std::move(launched->channel);
  // The callbacks hold the errand alive until its process has ended.
  if (auto watched = context.children.watch(
          errand->pid_, std::move(launched->child.pidfd),
          [errand](pid_t, const os::ExitStatus& status) { errand->on_exit(status); });
      !watched) {
    return fail_later(watched.error());
  }
  if (auto watched = context.loop.watch(errand->channel_.descriptor(), EPOLLIN,
                                        [errand](std::uint32_t) { errand->on_channel(); });
      !watched) {
    base::log_warning("cannot listen to {}: {}", errand->name_, watched.error().message);
  }
  errand->timer_ = context.timers.at(context.loop.now() + limit, [errand, limit] {
    errand->overdue_ = fmt::format("{} gave no answer within {} s and was killed", errand->name_,
                                   std::chrono::duration_cast<std::chrono::seconds>(limit).count());
    std::ignore = errand->context_.children.send_signal(errand->pid_, SIGKILL);
  });
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
  if (!overdue_.empty()) return done_(base::fail(overdue_));
  done_(base::fail(fmt::format("{}: workerd ended without an answer ({})", name_,
                               core::to_string(to_core(status)))));
}

}  // namespace corn::driver
