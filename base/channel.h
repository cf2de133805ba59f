// SPDX-License-Identifier: Apache-2.0
// One end of the SOCK_SEQPACKET socket pair between arbiterd and a child. Not thread-safe for
// receiving; send() may be called from any thread (one datagram is one system call).
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "base/message.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace corn::base {

class Channel {
 public:
  Channel() = default;
  explicit Channel(UniqueFd fd) : fd_(std::move(fd)) {}

  // A connected pair, close-on-exec; the first end non-blocking for arbiterd, the second blocking.
  static Result<std::pair<Channel, Channel>> make_pair();

  [[nodiscard]] int descriptor() const { return fd_.get(); }
  explicit operator bool() const { return static_cast<bool>(fd_); }
  [[nodiscard]] UniqueFd take() { return std::move(fd_); }

  // Sends one message; never raises SIGPIPE and never blocks. A full socket (EAGAIN) or an ended
  // peer (EPIPE) is an error whose os_errno says which.
  Status send(const Message& message) const;

  // Sends one message together with copies of `descriptors` (unix(7), SCM_RIGHTS), at most 253.
  Status send(const Message& message, const std::vector<int>& descriptors) const;

  // Receives one message. nullopt: nothing there now (non-blocking end). An ended peer is an error
  // with os_errno EPIPE; a malformed datagram is an error with os_errno EBADMSG, and
  // the channel stays usable.
  Result<std::optional<Message>> receive();
  // The same; `descriptors` takes those that came with it, close-on-exec. (receive() closes them.)
  Result<std::optional<Message>> receive(std::vector<UniqueFd>& descriptors);

 private:
  UniqueFd fd_;
};

}  // namespace corn::base
