// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/control/mailbox.h"

#include <utility>

namespace corn::control {

Mailbox::Mailbox(grpc::CompletionQueue& queue)
    : queue_(queue), woken_([this](bool) { run_posted(); }) {}

void Mailbox::post(std::function<void()> work) {
  const std::lock_guard lock(mutex_);
  if (closed_) return;
  posted_.push_back(std::move(work));
  if (alarm_set_) return;
  alarm_set_ = true;
  // A deadline in the past fires at once: this is how to wake a thread that waits in Next().
  alarm_.Set(&queue_, gpr_inf_past(GPR_CLOCK_MONOTONIC), woken_.arm(nullptr));
}

void Mailbox::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
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
