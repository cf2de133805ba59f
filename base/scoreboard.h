// SPDX-License-Identifier: Apache-2.0
// The scoreboard of one worker: a sealed memfd that worker and arbiterd both map. The worker writes
// it without a system call, arbiterd reads it when asked or when a deadline nears. Every counter
// has one writing thread and is updated with relaxed stores; texts are guarded by a sequence number
// (odd while being written). arbiterd never trusts the content: a worker may scribble on it.
//
// Times are CLOCK_MONOTONIC in nanoseconds; 0 means "none".
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace corn::base {

inline constexpr std::uint32_t kScoreboardMagic = 0x4e524f43;  // "CORN"
inline constexpr std::uint32_t kScoreboardVersion = 1;
inline constexpr std::uint32_t kMaxSlots = 1024;

// Latencies fall into log-linear buckets: four to every power of two of microseconds, up to 2^27 us
// (over two minutes), the last one open.
inline constexpr std::size_t kLatencyBuckets = 112;
std::size_t latency_bucket(Duration latency);
// Upper bound of a bucket.
Duration latency_bucket_bound(std::size_t bucket);

using Counter = std::atomic<std::uint64_t>;

// Adds to a counter whose only writer is the calling thread.
inline void add(Counter& counter, std::uint64_t amount = 1) {
  counter.store(counter.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
}

// What one application thread does. Written by that thread alone.
struct alignas(64) Slot {
  static constexpr std::size_t kMethodBytes = 16;
  static constexpr std::size_t kTargetBytes = 232;

  std::atomic<std::uint32_t> sequence{0};   // odd while method and target are being written
  std::atomic<std::uint32_t> thread_id{0};  // gettid(2) of the thread
  Counter request_start{0};                 // start of the request in progress; 0: idle
  Counter requests{0};                      // finished
  Counter errors{0};                        // of those, answered with a 5xx status
  Counter busy_nanoseconds{0};              // time spent inside the application
  // Texts, cut, ended by a NUL if there is room; they stay after the request as the last one. In
  // words, so that a reader in the middle of a write sees stale or new words but no data race.
  std::array<Counter, kMethodBytes / 8> method{};
  std::array<Counter, kTargetBytes / 8> target{};
  std::array<Counter, kLatencyBuckets> latency{};

  void begin(std::string_view request_method, std::string_view request_target, TimePoint now);
  void end(TimePoint now, bool error);
  // Of a request that was in no slot: counts it here.
  void count(Duration spent, bool error);
};

struct alignas(64) Scoreboard {
  std::uint32_t magic = kScoreboardMagic;
  std::uint32_t version = kScoreboardVersion;
  std::uint32_t slot_count = 0;
  std::uint32_t reserved = 0;
  // Last sign of life. The main loop of the worker class beats at every turn, at least every half
  // `timeout`; in sync, while a request is inside the application, only the application's
  // progress beats (its start, each chunk), so that a hung application falls silent.
  Counter beat{0};
  Counter connections{0};  // open now
  Counter accepted{0};     // connections since the start
  Counter refused{0};      // requests answered by the engine itself (bad head, time-out, limit)
  Counter waiting{0};      // whole requests waiting for the application now
  Counter crowd{0};        // requests inside the application now for which there was no slot
  Counter bytes_received{0};
  Counter bytes_sent{0};
  Counter sending{0};  // answers that the application has given whole and clients still take, now

  [[nodiscard]] Slot* slots() { return reinterpret_cast<Slot*>(this + 1); }
  [[nodiscard]] const Slot* slots() const { return reinterpret_cast<const Slot*>(this + 1); }
};

// A request in progress, or the last one, as read from a slot.
struct SlotView {
  std::uint32_t thread_id = 0;
  std::optional<TimePoint> request_start;
  std::string method;
  std::string target;
};

// Everything arbiterd wants to know at one glance; sums over slots.
struct ScoreboardView {
  TimePoint beat;
  std::uint64_t connections = 0;
  std::uint64_t accepted = 0;
  std::uint64_t refused = 0;
  std::uint64_t waiting = 0;
  std::uint64_t sending = 0;
  std::uint64_t requests = 0;
  std::uint64_t errors = 0;
  std::uint64_t in_flight = 0;
  std::uint64_t busy_nanoseconds = 0;
  std::optional<TimePoint> oldest_request_start;
  std::array<std::uint64_t, kLatencyBuckets> latency{};
  std::vector<SlotView> slots;  // filled only on request
};

// A mapped scoreboard; unmapped at the end of its life.
class ScoreboardMap {
 public:
  ScoreboardMap() = default;
  ScoreboardMap(ScoreboardMap&& other) noexcept;
  ScoreboardMap& operator=(ScoreboardMap&& other) noexcept;
  ScoreboardMap(const ScoreboardMap&) = delete;
  ScoreboardMap& operator=(const ScoreboardMap&) = delete;
  ~ScoreboardMap();

  // Makes a sealed memfd for `slot_count` threads (1 to kMaxSlots) and maps it.
  static Result<ScoreboardMap> create(std::uint32_t slot_count);
  // Maps what a peer made; refuses a wrong size, magic or version.
  static Result<ScoreboardMap> attach(UniqueFd fd);

  [[nodiscard]] int descriptor() const { return fd_.get(); }
  explicit operator bool() const { return board_ != nullptr; }
  Scoreboard* operator->() { return board_; }
  Scoreboard& operator*() { return *board_; }
  [[nodiscard]] std::uint32_t slot_count() const { return slot_count_; }
  Slot& slot(std::uint32_t index);

  // A consistent-enough copy; `with_slots` copies texts too. Never blocks on a writer.
  [[nodiscard]] ScoreboardView read(bool with_slots = false) const;

 private:
  UniqueFd fd_;
  Scoreboard* board_ = nullptr;
  std::uint32_t slot_count_ = 0;  // remembered: the mapped one isn't trusted
};

}  // namespace corn::base
