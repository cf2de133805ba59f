// SPDX-License-Identifier: Apache-2.0
#include "workerd/server/loop_class.h"

#include <poll.h>

#include <algorithm>
#include <chrono>

namespace corn::server {
namespace {

// Connections accepted for one event of a listener: siblings that are less busy get the others.
constexpr std::size_t kAcceptedAtOnce = 8;

}  // namespace

void LoopClass::run(Reactor& reactor) {
  {
    const Hold hold(*this);
    reactor_ = &reactor;
  }
  host_.run(*this);
}

std::size_t LoopClass::accept_capacity(std::size_t waiting) const {
  return waiting == 0 && entry_capacity() > 0 ? kAcceptedAtOnce : 0;
}

std::optional<base::Duration> LoopClass::turn() {
  const Hold hold(*this);
  turning_ = true;
  reactor_->collect();
  do {
    let_in();
  } while (reactor_->step());
  const auto next = reactor_->rest();
  turning_ = false;
  return next;
}

void LoopClass::let_in() {
  while (entry_capacity() > 0) {
    Connection* connection = reactor_->take_ready(true);
    if (connection == nullptr) return;
    enter(*connection);
  }
}

void LoopClass::leave(Connection& connection) {
  reactor_->leave(connection);
  plan_turn();
}

void LoopClass::plan_turn() {
  if (turning_ || rescued()) return;
  auto next = reactor_->time_to_rest();
  if (reactor_->done() || (reactor_->waiting() > 0 && entry_capacity() > 0)) {
    next = base::Duration::zero();
  }
  if (next) host_.turn_within(*next);
}

// What the loop's thread would do, were it to come back from the application.
void LoopClass::rescue(base::Milliseconds limit) {
  const std::unique_lock lock(engine_, limit);
  if (!lock.owns_lock() || reactor_ == nullptr) return;
  rescued_.store(true, std::memory_order_relaxed);
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!reactor_->abort_over()) {
    reactor_->collect();
    while (reactor_->step()) {
    }
    const auto next = reactor_->rest();
    const auto left = end - std::chrono::steady_clock::now();
    if (left <= base::Duration::zero()) return;
    const auto wait =
        std::chrono::ceil<base::Milliseconds>(next ? std::min<base::Duration>(*next, left) : left);
    pollfd ready{reactor_->descriptor(), POLLIN, 0};
    ::poll(&ready, 1, static_cast<int>(wait.count()));
  }
}

}  // namespace corn::server
