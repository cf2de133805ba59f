// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/core/waiters.h"

#include <fmt/core.h>

#include <algorithm>

namespace corn::core {
namespace {

void answer(const Waiter& waiter, ReplyCode code, const std::string& text, Turn& turn) {
  const bool is_scale = waiter.is_scale;
  turn.reply(
      Reply{waiter.id, code, text, is_scale ? waiter.before : 0, is_scale ? waiter.after : 0});
}

}  // namespace

void Waiters::add(Waiter waiter) {
  if (waiter.id.value != 0) waiters_.push_back(std::move(waiter));
}

void Waiters::settle(std::uint32_t ready, std::uint32_t target,
                     const std::function<bool(WorkerId)>& is_alive, Turn& turn) {
  std::erase_if(waiters_, [&](Waiter& waiter) {
    std::erase_if(waiter.leaving, [&](WorkerId id) { return !is_alive(id); });
    if (!waiter.leaving.empty() || ready < std::min(waiter.ready, target)) return false;
    answer(waiter, ReplyCode::kDone, waiter.done, turn);
    return true;
  });
}

void Waiters::new_workers_failed(const std::string& why, Turn& turn) {
  std::erase_if(waiters_, [&](const Waiter& waiter) {
    if (!waiter.wants_new) return false;
    answer(waiter, ReplyCode::kFailedPrecondition, why, turn);
    return true;
  });
}

void Waiters::target_changed(std::uint32_t target, Turn& turn) {
  std::erase_if(waiters_, [&](const Waiter& waiter) {
    if (!waiter.is_scale || !waiter.wants_new || waiter.after <= target) return false;
    answer(waiter, ReplyCode::kAborted,
           fmt::format("overtaken: the target is now {}, no longer {}", target, waiter.after),
           turn);
    return true;
  });
}

void Waiters::answer_all(ReplyCode code, const std::string& text, Turn& turn) {
  for (const Waiter& waiter : waiters_) answer(waiter, code, text, turn);
  waiters_.clear();
}

}  // namespace corn::core
