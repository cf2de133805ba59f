// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/control/mailbox.h"

#include <utility>

namespace corn::control {

Mailbox::Mailbox(grpc::CompletionQueue& queue)
    : queue_(queue), woken_([this](bool) { run_posted(); }) {}

void Mailbox::post(std::function<void()> work) {
  const std::lock_guard lock(mutex_);
  if (!closed_) add(std::move(work));
}

void Mailbox::post_last(std::function<void()> work) {
  const std::lock_guard lock(mutex_);
  if (std::exchange(closed_, true)) return;
  add(std::move(work));
}

void Mailbox::add(std::function<void()> work) {
  posted_.push_back(std::move(work));
  if (std::exchange(alarm_set_, true)) return;
  // A deadline in the past fires at once: this is how to wake a thread that waits in Next(). The
  // tag lives as long as the alarm does and needs no owner.
  alarm_.Set(&queue_, gpr_inf_past(GPR_CLOCK_MONOTONIC), &woken_);
}

void Mailbox::run_posted() {
  std::deque<std::function<void()>> work;
  {
    const std::lock_guard lock(mutex_);
    work.swap(posted_);
    alarm_set_ = false;
  }
  for (const std::function<void()>& item : work) item();
}

}  // namespace corn::control
