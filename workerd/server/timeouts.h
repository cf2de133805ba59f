// SPDX-License-Identifier: Apache-2.0
// Deadlines of connections. All deadlines of one kind lie the same duration ahead when they are
// set, so a list per kind, in the order of setting, is sorted: setting, clearing and finding the
// next one take constant time and no allocation. A deadline is late by up to a turn of the loop,
// never early.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/clock.h"

namespace corn::server {

enum class TimeoutKind : std::uint8_t {
  kFirstByte,  // from a connection's start to its first byte; as long as kHeader
  kHeader,     // from a connection's start, or a later request's first byte, to the end of its head
  kKeepAlive,  // idle between two requests
  kEntry,      // from a head to entering the application with an unfinished body
  kBody,       // between two reads of a body
  kBodyRate,   // a window over which the least rate of a body is averaged
  kSend,       // without the client taking anything of what is left of an answer
  kLinger,     // reading on after an answer that ends the connection
  kLingerIdle,  // reading on after closing a connection that waited for nothing
  kDrainIdle,   // idle between two requests, while the service goes away
  kDrainFresh,  // before the first request, while the worker goes away
  kPing,        // from a WebSocket's last sign of life, or thereabouts, to a ping
  kPong,        // from there to giving the client up
};
inline constexpr std::size_t kTimeoutKinds = 13;

class Connection;

// A place in a list.
struct TimerLink {
  TimerLink* previous = nullptr;
  TimerLink* next = nullptr;
};

// A deadline of one connection: part of it, unlinked before the connection ends.
class Timer : private TimerLink {
 public:
  explicit Timer(Connection& owner) : owner_(&owner) {}
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  [[nodiscard]] bool armed() const { return next != nullptr; }
  [[nodiscard]] TimeoutKind kind() const { return kind_; }
  [[nodiscard]] Connection& owner() const { return *owner_; }

 private:
  friend class Timeouts;

  Connection* const owner_;
  base::TimePoint deadline_;
  TimeoutKind kind_ = TimeoutKind::kHeader;
};

// Owner of the loop only.
class Timeouts {
 public:
  Timeouts();
  Timeouts(const Timeouts&) = delete;
  Timeouts& operator=(const Timeouts&) = delete;

  // Zero: deadlines of this kind are never set.
  void set_duration(TimeoutKind kind, base::Duration duration);
  [[nodiscard]] base::Duration duration(TimeoutKind kind) const;

  // Sets `timer` to `kind`'s duration from `now`, whatever it was set to before.
  void arm(Timer& timer, TimeoutKind kind, base::TimePoint now);
  // The same, counted from some time ago. Takes as long as there are later deadlines of the kind.
  void arm_since(Timer& timer, TimeoutKind kind, base::TimePoint since);
  void disarm(Timer& timer);

  [[nodiscard]] std::optional<base::TimePoint> next_deadline() const;

  // The timer of this kind that comes first, or null.
  [[nodiscard]] Timer* first(TimeoutKind kind) const;

  // Unlinks and returns one timer whose deadline has come, or null.
  Timer* expire(base::TimePoint now);

 private:
  static std::size_t index(TimeoutKind kind) { return static_cast<std::size_t>(kind); }
  static void link_before(TimerLink& next, TimerLink& link);
  static void unlink(TimerLink& link);

  std::array<base::Duration, kTimeoutKinds> durations_{};
  std::array<TimerLink, kTimeoutKinds> heads_;
};

}  // namespace corn::server
