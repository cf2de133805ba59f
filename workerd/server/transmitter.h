// SPDX-License-Identifier: Apache-2.0
// The sending side of one connection. The application's thread sends for itself, straight from its
// own memory, as long as the socket takes it. What the socket does not take is queued, in memory up
// to a limit and then in a file up to another (overflow_file.h), and sent by the loop's owner when
// the socket is writable again; beyond that the application waits for the client. So a slow client
// costs memory and disk within limits, not a worker.
//
// Every function may be called from any thread, except as said; a mutex keeps bytes in order. It is
// contended only while the loop flushes during a request.
#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "workerd/server/overflow_file.h"
#include "workerd/server/waiter.h"

namespace corn::server {

class Transmitter {
 public:
  // Bytes queued in memory for one client before the file takes the rest.
  static constexpr std::size_t kQueueBytes = 1U << 20U;

  // `socket` is non-blocking and outlives the transmitter. `stall`: how long a waiting application
  // waits for a client that takes nothing; zero: for ever. `directory`: where the file lies; empty:
  // there is none.
  Transmitter(int socket, base::Duration stall, std::string directory = {})
      : socket_(socket), stall_(stall), overflow_(std::move(directory)) {}
  Transmitter(const Transmitter&) = delete;
  Transmitter& operator=(const Transmitter&) = delete;

  // A new response: nothing of it is out, and it isn't cut off.
  void begin_response();
  // Whether a byte of the response was given to send(). An interim response doesn't count.
  [[nodiscard]] bool response_begun() const;

  // Sends the parts in order as one piece. Waits while the queue is at its limit, as `waiter`
  // does; a wait that is broken off breaks the connection off. Fails with EPIPE when the client has
  // gone or takes nothing, or the response is cut off.
  base::Status send(std::string_view first, std::string_view second, std::string_view third,
                    Waiter& waiter);
  // Sends `length` bytes of file `file` from `offset`, likewise.
  base::Status send_file(int file, off_t offset, std::uint64_t length, Waiter& waiter);
  // Sends or queues without waiting, whatever the limit says: an interim response, or an answer of
  // the engine's own.
  void send_now(std::string_view bytes);

  // The connection's end will be the response's end: cut short, it must not look like one.
  void ends_with_connection();
  [[nodiscard]] bool looks_whole_when_cut() const;

  // In place of the application's response, if nothing of that is out: sends `bytes`, and whatever
  // the application sends from now on fails. False, and nothing is sent, when the response has
  // begun; it is cut off all the same.
  bool cut_off(std::string_view bytes);

  [[nodiscard]] bool is_cut_off() const;

  // The loop's owner, when the socket has become writable.
  void flush();
  // The client is gone: drops what is queued, wakes and fails whoever sends.
  void break_off();

  // Bytes are queued or somebody waits: flush() has something to do. No lock.
  [[nodiscard]] bool wants_flush() const { return wants_flush_.load(std::memory_order_acquire); }
  [[nodiscard]] bool broken() const;
  [[nodiscard]] bool may_wait() const;
  [[nodiscard]] std::size_t queued_bytes() const;

  // Bytes sent to the socket since the last call. The loop's owner.
  std::uint64_t take_sent();
  // Bytes of the response, its head included, that the socket has taken so far.
  [[nodiscard]] std::uint64_t response_bytes() const;
  // Counts bytes sent: a change means that the client takes something.
  [[nodiscard]] std::uint64_t progress() const;

 private:
  // Sends what the socket takes at once; returns how much. Marks the connection broken on errors.
  std::size_t send_some(std::string_view first, std::string_view second, std::string_view third);
  void flush_locked();
  // Waits until the queue has room or, with `for_socket`, is empty and the socket writable.
  bool wait_locked(std::unique_lock<std::mutex>& lock, bool for_socket, Waiter& waiter);
  // Puts behind what is queued in memory, or in the file, as much of the parts as there is room
  // for, and drops that from them; returns how much.
  std::size_t enqueue(std::array<std::string_view, 3>& parts, std::size_t most);
  std::size_t overflow(std::unique_lock<std::mutex>& lock, std::array<std::string_view, 3>& parts);
  std::uint64_t overflow(std::unique_lock<std::mutex>& lock, int file, off_t offset,
                         std::uint64_t length);
  // Writes to the file without the lock, so that the loop never waits for a disk.
  std::size_t write_locked(std::unique_lock<std::mutex>& lock, std::string_view bytes);
  // For the engine's own small messages: whatever the limit says.
  void enqueue_now(std::string_view bytes);
  [[nodiscard]] std::size_t in_memory() const { return queue_.size() - queue_begin_; }
  [[nodiscard]] std::uint64_t queued() const { return in_memory() + overflow_.size(); }
  [[nodiscard]] bool has_room() const {
    return overflow_.size() == 0 && in_memory() <= kQueueBytes / 2;
  }
  [[nodiscard]] bool unusable() const { return broken_ || cut_off_; }
  void update_wants_flush();

  const int socket_;
  const base::Duration stall_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  std::string queue_;  // from queue_begin_ on
  std::size_t queue_begin_ = 0;
  OverflowFile overflow_;     // comes after queue_
  bool overflowing_ = false;  // it is being written to, without the mutex
  std::uint64_t sent_ = 0;
  std::uint64_t reported_ = 0;
  std::uint64_t response_start_ = 0;  // sent_ when the response began
  std::uint64_t writable_turns_ = 0;  // counts flush()
  bool waiting_ = false;
  bool response_begun_ = false;
  bool ends_with_connection_ = false;
  bool cut_off_ = false;
  bool broken_ = false;
  std::atomic<bool> wants_flush_{false};
};

}  // namespace corn::server
