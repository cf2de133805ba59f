// SPDX-License-Identifier: Apache-2.0
// Where a connection's unparsed bytes lie. Blocks are borrowed from a pool while there are bytes to
// hold and given back when there are none, so that an idle connection costs no buffer and the block
// used last, still in the processor's cache, is used next.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace corn::server {

// Owner of the loop only.
class BufferPool {
 public:
  static constexpr std::size_t kBlockBytes = 16 * 1024;

  std::unique_ptr<char[]> take();
  void give(std::unique_ptr<char[]> block);

  // Memory for bytes that are used up before the next read of any connection.
  [[nodiscard]] std::span<char> scratch();

 private:
  static constexpr std::size_t kSpareBlocks = 64;
  static constexpr std::size_t kScratchBytes = 128 * 1024;

  std::vector<std::unique_ptr<char[]>> spare_;
  std::unique_ptr<char[]> scratch_;
};

// Contiguous bytes: appended at the end, consumed from the front. Views stay valid until room() or
// release() is called.
class InputBuffer {
 public:
  explicit InputBuffer(BufferPool& pool) : pool_(&pool) {}
  ~InputBuffer() { release(); }
  InputBuffer(const InputBuffer&) = delete;
  InputBuffer& operator=(const InputBuffer&) = delete;

  [[nodiscard]] std::string_view bytes() const { return {data_.get() + begin_, end_ - begin_}; }
  [[nodiscard]] bool empty() const { return begin_ == end_; }

  // Memory of at least one byte to read into, moving or growing what is held when there is none
  // left.
  std::span<char> room();
  void commit(std::size_t size) { end_ += size; }
  void append(std::string_view bytes);

  // Drops bytes at the front; gives the block back with the last one.
  void consume(std::size_t size);
  void release();
  void swap(InputBuffer& other) noexcept;

 private:
  BufferPool* pool_;
  std::unique_ptr<char[]> data_;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace corn::server
