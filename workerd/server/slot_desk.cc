// SPDX-License-Identifier: Apache-2.0
#include "workerd/server/slot_desk.h"

#include <sys/syscall.h>
#include <unistd.h>

namespace corn::server {

void SlotDesk::open() {
  const auto thread = static_cast<std::uint32_t>(::syscall(SYS_gettid));
  for (std::uint32_t i = scoreboard_.slot_count(); i > 0; --i) {
    base::Slot& slot = scoreboard_.slot(i - 1);
    slot.thread_id.store(thread, std::memory_order_relaxed);
    free_.push_back(&slot);
  }
}

void SlotDesk::enter(Guest& guest) {
  ++guests_;
  guest.inside = true;
  if (free_.empty()) {
    guest.slot = nullptr;
    guest.place = queue_.insert(queue_.end(), &guest);
    publish_crowd();
    return;
  }
  guest.slot = free_.back();
  free_.pop_back();
  guest.slot->begin(guest.method, guest.target, guest.started);
}

void SlotDesk::leave(Guest& guest, base::TimePoint ended, bool error) {
  --guests_;
  guest.inside = false;
  if (guest.slot == nullptr) {
    queue_.erase(guest.place);
    publish_crowd();
    scoreboard_.slot(0).count(ended - guest.started, error);
    return;
  }
  base::Slot& slot = *guest.slot;
  slot.end(ended, error);
  if (queue_.empty()) {
    free_.push_back(&slot);
    return;
  }
  Guest& next = *queue_.front();
  queue_.pop_front();
  publish_crowd();
  next.slot = &slot;
  slot.begin(next.method, next.target, next.started);
}

void SlotDesk::publish_crowd() {
  scoreboard_->crowd.store(queue_.size(), std::memory_order_relaxed);
}

}  // namespace corn::server
