// SPDX-License-Identifier: Apache-2.0
#include "workerd/server/timeouts.h"

namespace corn::server {

Timeouts::Timeouts() {
  for (TimerLink& head : heads_) head.previous = head.next = &head;
}

void Timeouts::set_duration(TimeoutKind kind, base::Duration duration) {
  durations_[index(kind)] = duration;
}

base::Duration Timeouts::duration(TimeoutKind kind) const { return durations_[index(kind)]; }

void Timeouts::arm(Timer& timer, TimeoutKind kind, base::TimePoint now) {
  disarm(timer);
  const base::Duration duration = durations_[index(kind)];
  if (duration <= base::Duration::zero()) return;
  TimerLink& head = heads_[index(kind)];
  timer.kind_ = kind;
  timer.deadline_ = now + duration;
  link_before(head, timer);
}

void Timeouts::arm_since(Timer& timer, TimeoutKind kind, base::TimePoint since) {
  disarm(timer);
  const base::Duration duration = durations_[index(kind)];
  if (duration <= base::Duration::zero()) return;
  TimerLink& head = heads_[index(kind)];
  timer.kind_ = kind;
  timer.deadline_ = since + duration;
  TimerLink* next = &head;
  while (next->previous != &head &&
         static_cast<const Timer*>(next->previous)->deadline_ > timer.deadline_) {
    next = next->previous;
  }
  link_before(*next, timer);
}

void Timeouts::disarm(Timer& timer) {
  if (timer.armed()) unlink(timer);
}

void Timeouts::link_before(TimerLink& next, TimerLink& link) {
  link.previous = next.previous;
  link.next = &next;
  next.previous->next = &link;
  next.previous = &link;
}

void Timeouts::unlink(TimerLink& link) {
  link.previous->next = link.next;
  link.next->previous = link.previous;
  link.previous = link.next = nullptr;
}

std::optional<base::TimePoint> Timeouts::next_deadline() const {
  std::optional<base::TimePoint> earliest;
  for (const TimerLink& head : heads_) {
    if (head.next == &head) continue;
    const base::TimePoint deadline = static_cast<const Timer*>(head.next)->deadline_;
    if (!earliest || deadline < *earliest) earliest = deadline;
  }
  return earliest;
}

Timer* Timeouts::first(TimeoutKind kind) const {
  const TimerLink& head = heads_[index(kind)];
  return head.next == &head ? nullptr : static_cast<Timer*>(head.next);
}

Timer* Timeouts::expire(base::TimePoint now) {
  for (TimerLink& head : heads_) {
    if (head.next == &head) continue;
    auto* first = static_cast<Timer*>(head.next);
    if (first->deadline_ > now) continue;
    unlink(*first);
    return first;
  }
  return nullptr;
}

}  // namespace corn::server
