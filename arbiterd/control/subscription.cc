// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/control/subscription.h"

#include <mutex>
#include <optional>
#include <utility>

namespace corn::control {

struct DoorSubscription::Link {
  driver::Door* door = nullptr;  // constant after construction

  std::mutex mutex;
  // Guarded by mutex.
  std::optional<driver::SubscriptionId> id;
  bool closed = false;
};

bool DoorSubscription::open(driver::Door& door, driver::Subscription subscription) {
  close();
  link_ = std::make_shared<Link>();
  link_->door = &door;
  return door.subscribe(std::move(subscription), [link = link_](driver::SubscriptionId id) {
    {
      const std::lock_guard lock(link->mutex);
      link->id = id;
      if (!link->closed) return;
    }
    link->door->unsubscribe(id);
  });
}

void DoorSubscription::close() {
  if (!link_) return;
  const std::shared_ptr<Link> link = std::exchange(link_, nullptr);
  std::optional<driver::SubscriptionId> id;
  {
    const std::lock_guard lock(link->mutex);
    link->closed = true;
    id = link->id;
  }
  if (id) link->door->unsubscribe(*id);
}

}  // namespace corn::control
