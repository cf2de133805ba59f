// SPDX-License-Identifier: Apache-2.0
#include "base/scoreboard.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <new>

#include "base/check.h"

namespace corn::base {
namespace {

std::size_t bytes_for(std::uint32_t slot_count) {
  return sizeof(Scoreboard) + slot_count * sizeof(Slot);
}

template <std::size_t kWords>
void store_text(std::array<Counter, kWords>& to, std::string_view from) {
  for (Counter& word : to) {
    char bytes[8] = {};
    const std::size_t n = std::min(sizeof(bytes), from.size());
    std::memcpy(bytes, from.data(), n);
    word.store(std::bit_cast<std::uint64_t>(bytes), std::memory_order_relaxed);
    if (n < sizeof(bytes)) return;
    from.remove_prefix(n);
  }
}

template <std::size_t kWords>
std::string load_text(const std::array<Counter, kWords>& from) {
  char bytes[kWords * 8];
  for (std::size_t i = 0; i < kWords; ++i) {
    const std::uint64_t word = from[i].load(std::memory_order_relaxed);
    std::memcpy(bytes + i * 8, &word, sizeof(word));
  }
  return {bytes, ::strnlen(bytes, sizeof(bytes))};
}

SlotView read_slot(const Slot& slot) {
  SlotView view;
  // A writer holds the sequence odd for nanoseconds; after a few tries the text is left empty.
  for (int attempt = 0; attempt < 64; ++attempt) {
    const auto before = slot.sequence.load(std::memory_order_acquire);
    if (before % 2 != 0) continue;
    std::string method = load_text(slot.method);
    std::string target = load_text(slot.target);
    const auto start = slot.request_start.load(std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_acquire);
    if (slot.sequence.load(std::memory_order_relaxed) != before) continue;
    view.method = std::move(method);
    view.target = std::move(target);
    if (start != 0) view.request_start = from_nanoseconds(start);
    break;
  }
  view.thread_id = slot.thread_id.load(std::memory_order_relaxed);
  return view;
}

}  // namespace

std::size_t latency_bucket(Duration latency) {
  const auto us = static_cast<std::uint64_t>(std::max<std::int64_t>(latency.count() / 1000, 0));
  if (us < 4) return static_cast<std::size_t>(us);
  const auto exponent = static_cast<std::uint64_t>(std::bit_width(us)) - 1;  // 2 or more
  const std::uint64_t quarter = (us >> (exponent - 2)) & 3U;
  return std::min<std::size_t>((exponent - 1) * 4 + quarter, kLatencyBuckets - 1);
}

Duration latency_bucket_bound(std::size_t bucket) {
  if (bucket < 4) return std::chrono::microseconds(bucket + 1);
  const std::size_t exponent = bucket / 4 + 1;
  const std::uint64_t quarter = bucket % 4;
  return std::chrono::microseconds((4 + quarter + 1) << (exponent - 2));
}

void Slot::begin(std::string_view request_method, std::string_view request_target, TimePoint now) {
  const auto odd = sequence.load(std::memory_order_relaxed) + 1;
  sequence.store(odd, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  store_text(method, request_method);
  store_text(target, request_target);
  request_start.store(to_nanoseconds(now), std::memory_order_relaxed);
  sequence.store(odd + 1, std::memory_order_release);
}

void Slot::end(TimePoint now, bool error) {
  const auto start = from_nanoseconds(request_start.load(std::memory_order_relaxed));
  count(now - start, error);
  request_start.store(0, std::memory_order_relaxed);
}

void Slot::count(Duration spent, bool error) {
  add(requests);
  if (error) add(errors);
  add(busy_nanoseconds, static_cast<std::uint64_t>(std::max<std::int64_t>(spent.count(), 0)));
  add(latency[latency_bucket(spent)]);
}

ScoreboardMap::ScoreboardMap(ScoreboardMap&& other) noexcept { *this = std::move(other); }

ScoreboardMap& ScoreboardMap::operator=(ScoreboardMap&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(board_, other.board_);
  std::swap(slot_count_, other.slot_count_);
  return *this;
}

ScoreboardMap::~ScoreboardMap() {
  if (board_ != nullptr) ::munmap(board_, bytes_for(slot_count_));
}

Result<ScoreboardMap> ScoreboardMap::create(std::uint32_t slot_count) {
  CORN_CHECK(slot_count >= 1 && slot_count <= kMaxSlots);
  ScoreboardMap map;
  map.fd_.reset(::memfd_create("corn-scoreboard", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!map.fd_) return fail_errno("cannot make a scoreboard", errno);
  const std::size_t size = bytes_for(slot_count);
  if (::ftruncate(map.fd_.get(), static_cast<off_t>(size)) < 0) {
    return fail_errno("cannot size a scoreboard", errno);
  }
  if (::fcntl(map.fd_.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
    return fail_errno("cannot seal a scoreboard", errno);
  }
  void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, map.fd_.get(), 0);
  if (memory == MAP_FAILED) return fail_errno("cannot map a scoreboard", errno);
  map.board_ = new (memory) Scoreboard;
  map.slot_count_ = slot_count;
  map.board_->slot_count = slot_count;
  for (std::uint32_t i = 0; i < slot_count; ++i) new (map.board_->slots() + i) Slot;
  return map;
}

Result<ScoreboardMap> ScoreboardMap::attach(UniqueFd fd) {
  struct stat status {};
  if (::fstat(fd.get(), &status) < 0) return fail_errno("cannot examine a scoreboard", errno);
  const auto size = static_cast<std::size_t>(status.st_size);
  if (size < bytes_for(1) || size > bytes_for(kMaxSlots) ||
      (size - sizeof(Scoreboard)) % sizeof(Slot) != 0) {
    return fail("a scoreboard of a wrong size");
  }
  // Reading beyond the end of a file that was cut short kills the reader.
  const int seals = ::fcntl(fd.get(), F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0) return fail("a scoreboard that isn't sealed");
  void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (memory == MAP_FAILED) return fail_errno("cannot map a scoreboard", errno);
  ScoreboardMap map;
  map.fd_ = std::move(fd);
  map.board_ = static_cast<Scoreboard*>(memory);
  map.slot_count_ = static_cast<std::uint32_t>((size - sizeof(Scoreboard)) / sizeof(Slot));
  if (map.board_->magic != kScoreboardMagic || map.board_->version != kScoreboardVersion ||
      map.board_->slot_count != map.slot_count_) {
    return fail("a scoreboard of another version");
  }
  return map;
}

Slot& ScoreboardMap::slot(std::uint32_t index) {
  CORN_CHECK(board_ != nullptr && index < slot_count_);
  return board_->slots()[index];
}

ScoreboardView ScoreboardMap::read(bool with_slots) const {
  ScoreboardView view;
  if (board_ == nullptr) return view;
  const auto load = [](const Counter& c) { return c.load(std::memory_order_relaxed); };
  view.beat = from_nanoseconds(load(board_->beat));
  view.connections = load(board_->connections);
  view.accepted = load(board_->accepted);
  view.refused = load(board_->refused);
  view.waiting = load(board_->waiting);
  view.sending = load(board_->sending);
  view.in_flight = load(board_->crowd);
  for (std::uint32_t i = 0; i < slot_count_; ++i) {
    const Slot& slot = board_->slots()[i];
    view.requests += load(slot.requests);
    view.errors += load(slot.errors);
    view.busy_nanoseconds += load(slot.busy_nanoseconds);
    for (std::size_t b = 0; b < kLatencyBuckets; ++b) view.latency[b] += load(slot.latency[b]);
    if (const auto start = load(slot.request_start); start != 0) {
      ++view.in_flight;
      const TimePoint time = from_nanoseconds(start);
      if (!view.oldest_request_start || time < *view.oldest_request_start) {
        view.oldest_request_start = time;
      }
    }
    if (with_slots) view.slots.push_back(read_slot(slot));
  }
  return view;
}

}  // namespace corn::base
