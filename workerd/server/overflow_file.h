// SPDX-License-Identifier: Apache-2.0
// The part of an answer that neither its client's socket nor memory takes: a file without a name,
// filled at one end and sent from the other. It ends when it has been sent whole, and begins anew
// with the next bytes.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/unique_fd.h"

namespace corn::server {

// Writing may take as long as a disk does, and needs no lock: it touches only what publish() hasn't
// made known. All else is for one thread at a time.
class OverflowFile {
 public:
  // Bytes that it takes before it has to be sent whole.
  static constexpr std::uint64_t kMostBytes = 64U << 20U;

  // Empty: it takes nothing.
  explicit OverflowFile(std::string directory) : directory_(std::move(directory)) {}
  OverflowFile(const OverflowFile&) = delete;
  OverflowFile& operator=(const OverflowFile&) = delete;

  [[nodiscard]] std::uint64_t size() const { return written_ - sent_; }

  // How much may be written now. Makes the file if need be; none, which is logged now and then,
  // when that can't be done.
  std::uint64_t room();
  // Within room(). Returns how much was written: less when the disk is full, which is logged.
  std::size_t write(std::string_view bytes);
  // What was written last is to be sent. None may be written any more before.
  void publish(std::size_t size) { written_ += size; }

  // Sends to a socket what that takes without waiting; returns how much, or -1 with errno.
  ssize_t send_to(int socket);

  void clear();

 private:
  const std::string directory_;
  base::UniqueFd file_;
  std::uint64_t written_ = 0;
  std::uint64_t sent_ = 0;
};

}  // namespace corn::server
