// SPDX-License-Identifier: Apache-2.0
#include "workerd/server/fork_fence.h"

#include <pthread.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "base/check.h"

namespace corn::server {
namespace {

constexpr std::size_t kBits = 64;

// One bit a descriptor: readable in a child whatever the other threads of its parent were doing.
constinit std::array<std::atomic<std::uint64_t>, kForkFenceDescriptors / kBits> marks{};

std::uint64_t bit_of(int fd) { return std::uint64_t{1} << (static_cast<std::size_t>(fd) % kBits); }

std::atomic<std::uint64_t>& word_of(int fd) { return marks[static_cast<std::size_t>(fd) / kBits]; }

// In the child, where only async-signal-safe functions may be called (pthread_atfork(3)).
void close_marked() {
  for (std::size_t i = 0; i < marks.size(); ++i) {
    std::uint64_t word = marks[i].exchange(0, std::memory_order_relaxed);
    for (; word != 0; word &= word - 1) {
      ::close(static_cast<int>(i * kBits) + std::countr_zero(word));
    }
  }
}

bool can_mark(int fd) { return fd >= 0 && fd < kForkFenceDescriptors; }

}  // namespace

void close_in_forks(int fd) {
  static const int registered = ::pthread_atfork(nullptr, nullptr, close_marked);
  CORN_CHECK(registered == 0);
  if (can_mark(fd)) word_of(fd).fetch_or(bit_of(fd), std::memory_order_relaxed);
}

void open_across_forks(int fd) {
  if (can_mark(fd)) word_of(fd).fetch_and(~bit_of(fd), std::memory_order_relaxed);
}

}  // namespace corn::server
