// SPDX-License-Identifier: Apache-2.0
#include "workerd/server/input_buffer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace corn::server {

std::unique_ptr<char[]> BufferPool::take() {
  if (spare_.empty()) return std::make_unique_for_overwrite<char[]>(kBlockBytes);
  std::unique_ptr<char[]> block = std::move(spare_.back());
  spare_.pop_back();
  return block;
}

void BufferPool::give(std::unique_ptr<char[]> block) {
  if (spare_.size() < kSpareBlocks) spare_.push_back(std::move(block));
}

std::span<char> BufferPool::scratch() {
  if (!scratch_) scratch_ = std::make_unique_for_overwrite<char[]>(kScratchBytes);
  return {scratch_.get(), kScratchBytes};
}

std::span<char> InputBuffer::room() {
  // A few bytes would make a read of its own for the rest of a head that has its place.
  constexpr std::size_t kLeast = 512;
  if (!data_) {
    data_ = pool_->take();
    capacity_ = BufferPool::kBlockBytes;
  } else if (capacity_ - end_ < kLeast) {
    const std::size_t size = end_ - begin_;
    if (capacity_ - size >= capacity_ / 2) {
      std::memmove(data_.get(), data_.get() + begin_, size);
    } else {
      auto larger = std::make_unique_for_overwrite<char[]>(2 * capacity_);
      std::memcpy(larger.get(), data_.get() + begin_, size);
      std::swap(data_, larger);
      if (std::exchange(capacity_, 2 * capacity_) == BufferPool::kBlockBytes) {
        pool_->give(std::move(larger));
      }
    }
    begin_ = 0;
    end_ = size;
  }
  return {data_.get() + end_, capacity_ - end_};
}

void InputBuffer::append(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::span<char> space = room();
    const std::size_t size = std::min(space.size(), bytes.size());
    std::memcpy(space.data(), bytes.data(), size);
    commit(size);
    bytes.remove_prefix(size);
  }
}

void InputBuffer::consume(std::size_t size) {
  CORN_CHECK(size <= end_ - begin_);
  begin_ += size;
  if (begin_ == end_) release();
}

void InputBuffer::release() {
  if (data_ && capacity_ == BufferPool::kBlockBytes) pool_->give(std::move(data_));
  data_.reset();
  capacity_ = begin_ = end_ = 0;
}

void InputBuffer::swap(InputBuffer& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(capacity_, other.capacity_);
  std::swap(begin_, other.begin_);
  std::swap(end_, other.end_);
}

}  // namespace corn::server
