// SPDX-License-Identifier: Apache-2.0
#include "workerd/server/transmitter.h"

#include <poll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <optional>

namespace corn::server {
namespace {

// Written to the file between two looks at what else there is to do.
constexpr std::size_t kWriteBytes = 1U << 20U;

base::Status client_gone() { return base::fail("the client has gone", EPIPE); }

iovec vector_of(std::string_view bytes) {
  return {const_cast<char*>(bytes.data()), bytes.size()};  // sendmsg(2) only reads
}

// Drops the first `count` bytes of a sequence of parts.
void advance(std::array<std::string_view, 3>& parts, std::size_t count) {
  for (std::string_view& part : parts) {
    const std::size_t step = std::min(count, part.size());
    part.remove_prefix(step);
    count -= step;
  }
}

}  // namespace

void Transmitter::begin_response() {
  const std::lock_guard lock(mutex_);
  response_begun_ = false;
  ends_with_connection_ = false;
  cut_off_ = false;
  response_start_ = sent_;
}

bool Transmitter::response_begun() const {
  const std::lock_guard lock(mutex_);
  return response_begun_;
}

std::size_t Transmitter::send_some(std::string_view first, std::string_view second,
                                   std::string_view third) {
  for (;;) {
    ssize_t size = 0;
    if (second.empty() && third.empty()) {
      size = ::send(socket_, first.data(), first.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    } else {
      std::array<iovec, 3> vectors{vector_of(first), vector_of(second), vector_of(third)};
      msghdr message{};
      message.msg_iov = vectors.data();
      message.msg_iovlen = vectors.size();
      size = ::sendmsg(socket_, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    if (size >= 0) {
      sent_ += static_cast<std::uint64_t>(size);
      return static_cast<std::size_t>(size);
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN && errno != EWOULDBLOCK) broken_ = true;
    return 0;
  }
}

base::Status Transmitter::send(std::string_view first, std::string_view second,
                               std::string_view third, Waiter& waiter) {
  std::array<std::string_view, 3> parts{first, second, third};
  std::size_t left = first.size() + second.size() + third.size();
  std::unique_lock lock(mutex_);
  if (unusable()) return client_gone();
  if (!response_begun_) response_start_ = sent_ + queued();
  response_begun_ = true;
  for (;;) {
    if (queued() == 0) {
      const std::size_t size = send_some(parts[0], parts[1], parts[2]);
      if (size == left) return {};
      if (broken_) return client_gone();
      advance(parts, size);
      left -= size;
    }
    left -= enqueue(parts, waiter.never_waits() ? ~std::size_t{0} : kQueueBytes);
    flush_locked();
    if (left > 0 && queued() > 0) left -= overflow(lock, parts);
    if (unusable()) return client_gone();
    if (left == 0) return {};
    if (!has_room() && !wait_locked(lock, false, waiter)) return client_gone();
  }
}

std::size_t Transmitter::enqueue(std::array<std::string_view, 3>& parts, std::size_t most) {
  if (overflow_.size() > 0) return 0;
  std::size_t taken = 0;
  for (const std::string_view& part : parts) {
    const std::size_t size = std::min(most - std::min(in_memory(), most), part.size());
    queue_.append(part.substr(0, size));
    taken += size;
    if (size < part.size()) break;
  }
  advance(parts, taken);
  return taken;
}

std::size_t Transmitter::write_locked(std::unique_lock<std::mutex>& lock, std::string_view bytes) {
  overflowing_ = true;
  lock.unlock();
  const std::size_t size = overflow_.write(bytes);
  lock.lock();
  overflowing_ = false;
  overflow_.publish(size);
  // Meanwhile everything before it may have been sent, and nobody may be told of the socket again.
  flush_locked();
  if (unusable()) overflow_.clear();
  return size;
}

std::size_t Transmitter::overflow(std::unique_lock<std::mutex>& lock,
                                  std::array<std::string_view, 3>& parts) {
  std::size_t taken = 0;
  for (std::string_view& part : parts) {
    while (!part.empty()) {
      const std::uint64_t most = std::min<std::uint64_t>(overflow_.room(), kWriteBytes);
      const std::string_view piece = part.substr(0, static_cast<std::size_t>(most));
      const std::size_t size = piece.empty() ? 0 : write_locked(lock, piece);
      if (unusable()) return taken;
      part.remove_prefix(size);
      taken += size;
      if (size == 0 || size < piece.size()) return taken;
    }
  }
  return taken;
}

std::uint64_t Transmitter::overflow(std::unique_lock<std::mutex>& lock, int file, off_t offset,
                                    std::uint64_t length) {
  std::string buffer;
  std::uint64_t taken = 0;
  while (taken < length) {
    const std::uint64_t most =
        std::min({overflow_.room(), std::uint64_t{kWriteBytes}, length - taken});
    if (most == 0) break;
    buffer.resize(static_cast<std::size_t>(most));
    const ssize_t got =
        ::pread(file, buffer.data(), buffer.size(), offset + static_cast<off_t>(taken));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;  // whoever goes on with the rest finds out why
    const auto wish = static_cast<std::size_t>(got);
    const std::size_t size = write_locked(lock, std::string_view(buffer).substr(0, wish));
    if (unusable()) break;
    taken += size;
    if (size < wish) break;
  }
  return taken;
}

// Of the engine's own: small, and there is no application at work on the answer.
void Transmitter::enqueue_now(std::string_view bytes) {
  if (overflow_.size() == 0) {
    queue_.append(bytes);
  } else if (overflow_.room() >= bytes.size()) {
    overflow_.publish(overflow_.write(bytes));
  }
}

base::Status Transmitter::send_file(int file, off_t offset, std::uint64_t length, Waiter& waiter) {
  std::unique_lock lock(mutex_);
  if (unusable()) return client_gone();
  if (!response_begun_) response_start_ = sent_ + queued();
  response_begun_ = true;
  while (length > 0) {
    if (queued() > 0) {
      const std::uint64_t taken = overflow(lock, file, offset, length);
      if (unusable()) return client_gone();
      length -= taken;
      offset += static_cast<off_t>(taken);
      if (length > 0 && queued() > 0 && !wait_locked(lock, true, waiter)) return client_gone();
      continue;
    }
    constexpr std::uint64_t kMost = 1U << 30U;  // sendfile(2) takes no more than 2 GiB
    const auto wish = static_cast<std::size_t>(std::min(length, kMost));
    const ssize_t size = ::sendfile(socket_, file, &offset, wish);
    if (size > 0) {
      sent_ += static_cast<std::uint64_t>(size);
      length -= static_cast<std::uint64_t>(size);
      continue;
    }
    if (size == 0) return base::fail("the file is shorter than announced", EIO);
    const int error = errno;
    if (error == EINTR) continue;
    if (error == EAGAIN && length <= kQueueBytes) {
      queue_.resize(static_cast<std::size_t>(length));
      const ssize_t got = ::pread(file, queue_.data(), queue_.size(), offset);
      queue_.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
      flush_locked();
      if (got <= 0) return base::fail("the file is shorter than announced", EIO);
      length -= static_cast<std::uint64_t>(got);
      offset += got;
      continue;
    }
    if (error == EAGAIN) {
      const std::uint64_t taken = overflow(lock, file, offset, length);
      if (unusable()) return client_gone();
      length -= taken;
      offset += static_cast<off_t>(taken);
      if (length == 0) continue;
      if (!wait_locked(lock, true, waiter)) return client_gone();
      continue;
    }
    if (error == EPIPE || error == ECONNRESET) {
      broken_ = true;
      return client_gone();
    }
    return base::fail_errno("cannot send the file", error);
  }
  return {};
}

bool Transmitter::wait_locked(std::unique_lock<std::mutex>& lock, bool for_socket, Waiter& waiter) {
  waiting_ = true;
  update_wants_flush();
  // The socket may have become writable, its event passed over, before the flag was up.
  pollfd writable{socket_, POLLOUT, 0};
  if (for_socket && queued() == 0 && ::poll(&writable, 1, 0) > 0) {
    waiting_ = false;
    update_wants_flush();
    return true;
  }
  waiter.before_wait();
  const std::uint64_t turns = writable_turns_;
  std::uint64_t progress = sent_;
  const auto ready = [&] {
    if (unusable()) return true;
    return for_socket ? queued() == 0 && writable_turns_ != turns : has_room();
  };
  const bool limited = stall_ > base::Duration::zero();
  const auto now = [] { return std::chrono::steady_clock::now(); };
  base::TimePoint end = now() + stall_;
  while (!ready()) {
    if (!waiter.wait(lock, changed_, limited ? std::optional(end) : std::nullopt)) {
      broken_ = true;
    } else if (limited && now() >= end && !ready()) {
      broken_ = sent_ == progress;
      progress = sent_;
      end = now() + stall_;
    }
  }
  waiting_ = false;
  update_wants_flush();
  lock.unlock();
  waiter.after_wait();
  lock.lock();
  return !unusable();
}

void Transmitter::send_now(std::string_view bytes) {
  const std::lock_guard lock(mutex_);
  if (broken_) return;
  enqueue_now(bytes);
  flush_locked();
}

bool Transmitter::cut_off(std::string_view bytes) {
  const std::lock_guard lock(mutex_);
  const bool replaced = !response_begun_ && !broken_ && !cut_off_;
  cut_off_ = true;
  if (replaced) enqueue_now(bytes);
  flush_locked();
  return replaced;
}

void Transmitter::ends_with_connection() {
  const std::lock_guard lock(mutex_);
  ends_with_connection_ = true;
}

bool Transmitter::looks_whole_when_cut() const {
  const std::lock_guard lock(mutex_);
  return ends_with_connection_ && response_begun_;
}

bool Transmitter::is_cut_off() const {
  const std::lock_guard lock(mutex_);
  return cut_off_;
}

void Transmitter::flush() {
  const std::lock_guard lock(mutex_);
  flush_locked();
}

void Transmitter::flush_locked() {
  ++writable_turns_;
  // Up before the socket is tried: an event that comes after its refusal finds the flag.
  if (queued() > 0) wants_flush_.store(true, std::memory_order_seq_cst);
  while (in_memory() > 0 && !broken_) {
    const std::string_view rest = std::string_view(queue_).substr(queue_begin_);
    const std::size_t size = send_some(rest, {}, {});
    if (size == 0) break;
    queue_begin_ += size;
  }
  while (in_memory() == 0 && overflow_.size() > 0 && !broken_) {
    wants_flush_.store(true, std::memory_order_seq_cst);
    const ssize_t size = overflow_.send_to(socket_);
    if (size > 0) {
      sent_ += static_cast<std::uint64_t>(size);
    } else if (size == 0 || errno != EINTR) {
      broken_ = size == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
      break;
    }
  }
  // Done with, or of no use; whoever writes to it clears it himself.
  if ((broken_ || overflow_.size() == 0) && !overflowing_) overflow_.clear();
  if (broken_ || in_memory() == 0) {
    queue_begin_ = 0;
    queue_.clear();
    constexpr std::size_t kKeptCapacity = 64 * 1024;
    if (queue_.capacity() > kKeptCapacity) queue_.shrink_to_fit();
  } else if (queue_begin_ >= kQueueBytes / 2) {
    queue_.erase(0, queue_begin_);
    queue_begin_ = 0;
  }
  update_wants_flush();
  changed_.notify_all();
}

void Transmitter::break_off() {
  const std::lock_guard lock(mutex_);
  broken_ = true;
  queue_.clear();
  queue_begin_ = 0;
  if (!overflowing_) overflow_.clear();
  update_wants_flush();
  changed_.notify_all();
}

void Transmitter::update_wants_flush() {
  wants_flush_.store(!broken_ && (waiting_ || queued() > 0), std::memory_order_release);
}

bool Transmitter::broken() const {
  const std::lock_guard lock(mutex_);
  return broken_;
}

bool Transmitter::may_wait() const {
  const std::lock_guard lock(mutex_);
  return queued() > 0;
}

std::size_t Transmitter::queued_bytes() const {
  const std::lock_guard lock(mutex_);
  return queued();
}

std::uint64_t Transmitter::take_sent() {
  const std::lock_guard lock(mutex_);
  const std::uint64_t count = sent_ - reported_;
  reported_ = sent_;
  return count;
}

std::uint64_t Transmitter::response_bytes() const {
  const std::lock_guard lock(mutex_);
  return sent_ - std::min(sent_, response_start_);  // an interim response may still be queued
}

std::uint64_t Transmitter::progress() const {
  const std::lock_guard lock(mutex_);
  return sent_;
}

}  // namespace corn::server
