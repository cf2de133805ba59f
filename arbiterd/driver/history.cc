// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/driver/history.h"

#include <fmt/core.h>

#include <utility>

#include "base/message.h"

namespace corn::driver {
namespace {

constexpr const char* kTooSlow =
    "the subscriber is too slow; watch again from the last sequence number received";

}  // namespace

const HistoryEvent& History::append(core::Record record, WallTime time) {
  text_bytes_ += record.text.size();
  events_.push_back({next_++, time, std::move(record)});
  while (events_.size() > 1 && (events_.size() > kMaxEvents || text_bytes_ > kMaxTextBytes)) {
    text_bytes_ -= events_.front().record.text.size();
    events_.pop_front();
  }
  for (auto it = subscriptions_.begin(); it != subscriptions_.end();) {
    if (it->second.deliver(events_.back())) {
      ++it;
      continue;
    }
    const auto dropped = subscriptions_.extract(it++);
    dropped.mapped().ended(core::ReplyCode::kAborted, kTooSlow);
  }
  return events_.back();
}

void History::restore(std::vector<HistoryEvent> events, std::uint64_t last_sequence) {
  for (HistoryEvent& event : events) {
    if (event.sequence < next_) continue;
    // Sequence numbers have no gaps.
    if (event.sequence != next_) {
      events_.clear();
      text_bytes_ = 0;
    }
    next_ = event.sequence + 1;
    text_bytes_ += event.record.text.size();
    events_.push_back(std::move(event));
  }
  if (last_sequence >= next_) {
    events_.clear();
    text_bytes_ = 0;
    next_ = last_sequence + 1;
  }
}

std::vector<HistoryEvent> History::tail(std::size_t count, std::size_t text_limit) const {
  const std::size_t first = events_.size() > count ? events_.size() - count : 0;
  std::vector<HistoryEvent> latest(events_.begin() + static_cast<std::ptrdiff_t>(first),
                                   events_.end());
  for (HistoryEvent& event : latest) {
    event.record.text = base::shorten_middle(event.record.text, text_limit);
  }
  return latest;
}

SubscriptionId History::subscribe(Subscription subscription) {
  const std::uint64_t oldest = events_.empty() ? next_ : events_.front().sequence;
  const std::uint64_t wanted = subscription.after_sequence + 1;
  if (subscription.after_sequence != 0 && wanted < oldest) {
    subscription.ended(core::ReplyCode::kInvalidArgument,
                       fmt::format("events after {} are no longer kept; the oldest is {}",
                                   subscription.after_sequence, oldest));
    return 0;
  }
  for (const HistoryEvent& event : events_) {
    if (event.sequence < wanted) continue;
    if (!subscription.deliver(event)) {
      subscription.ended(core::ReplyCode::kAborted, kTooSlow);
      return 0;
    }
  }
  if (!subscription.follow) {
    subscription.ended(core::ReplyCode::kDone, "");
    return 0;
  }
  if (subscriptions_.size() >= kMaxSubscriptions) {
    subscription.ended(core::ReplyCode::kUnavailable,
                       fmt::format("{} subscribers follow already, the limit", kMaxSubscriptions));
    return 0;
  }
  subscriptions_.emplace(++last_id_, std::move(subscription));
  return last_id_;
}

void History::unsubscribe(SubscriptionId id) { subscriptions_.erase(id); }

void History::close(const std::string& why) {
  for (const auto& [id, subscription] : std::exchange(subscriptions_, {})) {
    subscription.ended(core::ReplyCode::kUnavailable, why);
  }
}

}  // namespace corn::driver
