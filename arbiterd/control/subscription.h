// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "arbiterd/driver/door/door.h"

namespace corn::control {

// A subscription at the door that ends with its owner. The door tells a subscription's id later, on
// the loop thread; an owner who has gone by then is unsubscribed at once. Queue thread only; the
// door outlives it.
class DoorSubscription {
 public:
  DoorSubscription() = default;
  ~DoorSubscription() { close(); }
  DoorSubscription(const DoorSubscription&) = delete;
  DoorSubscription& operator=(const DoorSubscription&) = delete;

  // Closes the one before. False: the door takes nothing now.
  bool open(driver::Door& door, driver::Subscription subscription);

  // To be called also when the door has ended the subscription; telling it twice does no harm.
  void close();

 private:
  struct Link;
  std::shared_ptr<Link> link_;
};

}  // namespace corn::control
