// SPDX-License-Identifier: Apache-2.0
// The listening sockets of a worker. They are shared with every worker of the pool, so a worker
// watches them only while it has capacity; EPOLLEXCLUSIVE wakes one of those that do
// (epoll_ctl(2)). Loop's owner only.
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace corn::server {

struct Accepted {
  base::UniqueFd socket;
  sockaddr_storage peer{};
};

class Acceptor {
 public:
  // What epoll reports for listener `index` is `first_event_id + index`.
  Acceptor(std::vector<base::UniqueFd> listeners, std::uint64_t first_event_id)
      : listeners_(std::move(listeners)), first_event_id_(first_event_id) {}

  // `with_first_bytes`: TCP connections come when their client has sent something (TCP_DEFER_ACCEPT
  // of tcp(7)), those of silent clients a second later.
  base::Status open(int epoll, bool with_first_bytes);

  [[nodiscard]] std::size_t size() const { return listeners_.size(); }

  // Starts or stops watching; no system call when nothing changes.
  void watch(bool wanted);
  [[nodiscard]] bool watching() const { return watching_; }

  // One connection that waits at listener `index`, or nullopt: none, or none can be taken now.
  // Without descriptors or memory left, accepting pauses.
  std::optional<Accepted> accept(std::size_t index, base::TimePoint now);

  // End of the pause, if there is one.
  [[nodiscard]] std::optional<base::TimePoint> paused_until() const { return paused_until_; }
  void end_pause(base::TimePoint now);

  // Accepting fails for want of descriptors or memory: it pauses.
  void pause(int os_errno, base::TimePoint now);

  // Closes the sockets, or one that isn't watched; others who hold them go on.
  void close();
  void close(std::size_t index);

 private:
  std::vector<base::UniqueFd> listeners_;
  const std::uint64_t first_event_id_;
  int epoll_ = -1;
  bool watching_ = false;
  std::optional<base::TimePoint> paused_until_;
  std::optional<base::TimePoint> last_complaint_;
};

}  // namespace corn::server
