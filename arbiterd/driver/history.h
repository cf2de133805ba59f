// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <vector>

#include "arbiterd/driver/door/door.h"

namespace corn::driver {

// The instance's latest events and those who follow them. Loop thread only.
class History {
 public:
  static constexpr std::size_t kMaxEvents = 4096;
  static constexpr std::size_t kMaxTextBytes = 4U << 20U;  // of all events' texts together
  static constexpr std::size_t kMaxSubscriptions = 256;

  // Appends an event and hands it to every follower; one that can't take it is dropped.
  const HistoryEvent& append(core::Record record, WallTime time);

  // Goes on from an earlier arbiter's history. Before the first append().
  void restore(std::vector<HistoryEvent> events, std::uint64_t last_sequence);

  // The latest events, at most `count`, oldest first; their texts cut to `text_limit` bytes.
  [[nodiscard]] std::vector<HistoryEvent> tail(std::size_t count, std::size_t text_limit) const;

  // Number of the latest event; 0: none yet.
  [[nodiscard]] std::uint64_t latest() const { return next_ - 1; }

  // Hands over what is kept after `subscription.after_sequence`, then follows. Returns 0, after
  // calling `ended`, when there is nothing to follow: what was asked for is no longer kept, too
  // many follow already, the subscriber was too slow for the past, or it wanted no more than that.
  SubscriptionId subscribe(Subscription subscription);
  void unsubscribe(SubscriptionId id);
  // Whether events are handed over as they happen.
  [[nodiscard]] bool followed() const { return !subscriptions_.empty(); }

  // Ends every subscription: the arbiter stops.
  void close(const std::string& why);

 private:
  std::deque<HistoryEvent> events_;
  std::size_t text_bytes_ = 0;
  std::uint64_t next_ = 1;
  std::map<SubscriptionId, Subscription> subscriptions_;
  SubscriptionId last_id_ = 0;
};

}  // namespace corn::driver
