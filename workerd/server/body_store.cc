// SPDX-License-Identifier: Apache-2.0
#include "workerd/server/body_store.h"

#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "workerd/server/temporary_file.h"

namespace corn::server {
namespace {

// Memory kept from one request of a connection to the next.
constexpr std::size_t kKeptBytes = 64 * 1024;

}  // namespace

void BodyStore::reset() {
  const std::lock_guard lock(mutex_);
  whole_ = {};
  memory_size_ = written_ = read_ = 0;
  complete_ = true;
  broken_ = false;
  file_.reset();
  if (capacity_ > kKeptBytes) {
    memory_.reset();
    capacity_ = 0;
  }
}

void BodyStore::begin() {
  const std::lock_guard lock(mutex_);
  complete_ = false;
}

void BodyStore::set_whole(std::string_view body) {
  const std::lock_guard lock(mutex_);
  whole_ = body;
  memory_size_ = written_ = body.size();
  complete_ = true;
}

bool BodyStore::grow(std::size_t size) {
  const std::uint64_t wanted = memory_size_ + size;
  if (file_ || wanted > options_->memory_bytes) return false;
  if (wanted <= capacity_) return true;
  const auto doubled = std::bit_ceil(std::max<std::uint64_t>(wanted, 4096));
  const auto capacity = static_cast<std::size_t>(std::min(doubled, options_->memory_bytes));
  auto larger = std::make_unique_for_overwrite<char[]>(capacity);
  if (memory_size_ > 0) std::memcpy(larger.get(), memory_.get(), memory_size_);
  memory_ = std::move(larger);
  capacity_ = capacity;
  return true;
}

std::span<char> BodyStore::room(std::size_t wish) {
  const std::lock_guard lock(mutex_);
  const std::uint64_t left =
      options_->memory_bytes - std::min(memory_size_, options_->memory_bytes);
  // A client that announces much and sends little is believed as far as its bytes go.
  constexpr std::size_t kStep = 64 * 1024;
  wish = std::min<std::size_t>(wish, std::max<std::size_t>(kStep, memory_size_));
  wish = static_cast<std::size_t>(std::min<std::uint64_t>(wish, left));
  if (wish == 0 || !grow(wish)) return {};
  return {memory_.get() + memory_size_, wish};
}

void BodyStore::commit(std::size_t size) {
  const std::lock_guard lock(mutex_);
  memory_size_ += size;
  written_ += size;
}

base::Status BodyStore::append(std::string_view bytes) {
  const std::lock_guard lock(mutex_);
  if (read_ == written_) rewind();
  if (grow(bytes.size())) {
    std::memcpy(memory_.get() + memory_size_, bytes.data(), bytes.size());
    memory_size_ += bytes.size();
  } else if (auto spilled = spill(bytes); !spilled) {
    return spilled;
  }
  written_ += bytes.size();
  changed_.notify_one();
  return {};
}

// All that came has been read: what comes next starts in memory again.
void BodyStore::rewind() {
  memory_size_ = written_ = read_ = 0;
  file_.reset();
}

base::Status BodyStore::spill(std::string_view bytes) {
  if (!file_) {
    auto opened = open_temporary_file(options_->directory, "a request's body");
    if (!opened) return tl::unexpected<base::Error>(opened.error());
    file_ = std::move(*opened);
  }
  auto offset = static_cast<off_t>(written_ - memory_size_);
  while (!bytes.empty()) {
    const ssize_t size = ::pwrite(file_.get(), bytes.data(), bytes.size(), offset);
    if (size < 0) {
      if (errno == EINTR) continue;
      return base::fail_errno("cannot store a request's body in " + options_->directory, errno);
    }
    bytes.remove_prefix(static_cast<std::size_t>(size));
    offset += size;
  }
  return {};
}

void BodyStore::complete() {
  const std::lock_guard lock(mutex_);
  complete_ = true;
  changed_.notify_one();
}

void BodyStore::break_off(http::ProtocolError problem, int os_errno) {
  const std::lock_guard lock(mutex_);
  if (complete_ || broken_) return;
  broken_ = true;
  problem_ = std::move(problem);
  os_errno_ = os_errno;
  changed_.notify_one();
}

bool BodyStore::full() const {
  const std::lock_guard lock(mutex_);
  return written_ >= options_->spill_bytes && read_ < written_;
}

bool BodyStore::is_complete() const {
  const std::lock_guard lock(mutex_);
  return complete_;
}

bool BodyStore::is_broken() const {
  const std::lock_guard lock(mutex_);
  return broken_ && unread() == 0;
}

base::Result<BodyStore::Read> BodyStore::read(char* to, std::size_t size) {
  const std::lock_guard lock(mutex_);
  Read result;
  if (read_ < memory_size_) {
    result.size = static_cast<std::size_t>(std::min<std::uint64_t>(size, memory_size_ - read_));
    const char* from = whole_.empty() ? memory_.get() : whole_.data();
    std::memcpy(to, from + read_, result.size);
  } else if (read_ < written_) {
    const auto wish = std::min<std::uint64_t>(size, written_ - read_);
    const auto offset = static_cast<off_t>(read_ - memory_size_);
    const ssize_t got = ::pread(file_.get(), to, static_cast<std::size_t>(wish), offset);
    if (got <= 0) {
      return base::fail_errno("cannot read a request's body back from " + options_->directory,
                              got == 0 ? EIO : errno);
    }
    result.size = static_cast<std::size_t>(got);
  } else if (complete_) {
    result.end = true;
  } else if (broken_) {
    return base::fail(problem_.reason, os_errno_);
  }
  const bool held_all = written_ >= options_->spill_bytes && read_ < written_;
  read_ += result.size;
  result.emptied_full = held_all && read_ == written_ && !complete_;
  return result;
}

bool BodyStore::wait(Waiter& waiter) {
  std::unique_lock lock(mutex_);
  while (unread() == 0 && !complete_ && !broken_) {
    if (!waiter.wait(lock, changed_, std::nullopt)) return false;
  }
  return true;
}

bool BodyStore::readable() const {
  const std::lock_guard lock(mutex_);
  return unread() > 0 || complete_ || broken_;
}

std::optional<http::ProtocolError> BodyStore::problem() const {
  const std::lock_guard lock(mutex_);
  return broken_ ? std::optional(problem_) : std::nullopt;
}

std::uint64_t BodyStore::available() const {
  const std::lock_guard lock(mutex_);
  return unread();
}

}  // namespace corn::server
