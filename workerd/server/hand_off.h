// SPDX-License-Identifier: Apache-2.0
// How workers of a pool pass client connections to each other: through a queue that they share, a
// pair of unix datagram sockets made by arbiterd. A datagram is one connection: its socket
// (SCM_RIGHTS, unix(7)) and what the socket itself doesn't tell. What the client has sent or sends
// meanwhile lies in the socket and goes with it, so that passing on races with nothing.
//
// Loop's owner only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "base/worker_config.h"
#include "workerd/http/proxy_protocol.h"

namespace corn::server {

// What a worker needs to know of a connection to go on with it. The peer's address is
// getpeername(2)'s.
struct HandOffTicket {
  base::ListenerInfo listener;             // that accepted it
  std::optional<http::ProxyHeader> proxy;  // what a PROXY header has told
  bool first_request = true;               // none has been answered yet
  bool proxy_expected = false;             // a PROXY header may still come
  base::TimePoint since;                   // its time-out runs since then; CLOCK_MONOTONIC
};

// Longest encoding of a ticket; longer datagrams are not sent, and refused.
inline constexpr std::size_t kMaxTicketBytes = 2048;

// The encoding carries a version, since the workers on both sides of an upgrade share the queue.
std::string encode_ticket(const HandOffTicket& ticket);
// Fails on bytes that are no ticket of a version that is understood.
base::Result<HandOffTicket> decode_ticket(std::string_view bytes);

// The two ends of the queue, as inherited. Empty: there is none.
struct HandOffEnds {
  base::UniqueFd in;
  base::UniqueFd out;
};

class HandOff {
 public:
  struct Arrival {
    base::UniqueFd socket;  // none: somebody may wait to be accepted, unnoticed
    HandOffTicket ticket;
  };

  // What epoll reports for the queue is `event_id`.
  HandOff(HandOffEnds ends, std::uint64_t event_id);
  ~HandOff();
  HandOff(const HandOff&) = delete;
  HandOff& operator=(const HandOff&) = delete;

  void open(int epoll) { epoll_ = epoll; }
  [[nodiscard]] bool usable() const { return static_cast<bool>(ends_.in); }

  // Starts or stops watching for arrivals; no system call when nothing changes.
  void watch(bool wanted);

  // Sends the connection. False: the queue is full (EAGAIN), or too many descriptors are on their
  // way (ETOOMANYREFS), and the connection is still the caller's alone. True: it is in the queue,
  // and the caller closes its descriptor, touching it no more.
  bool send(int socket, const HandOffTicket& ticket);

  // Has a sibling with capacity look whether somebody waits to be accepted: the kernel has told
  // this worker only (EPOLLEXCLUSIVE). Nothing happens if the queue is full.
  void tell_of_newcomers();

  // The next connection, or nullopt: none is there. Fails with EMFILE or ENFILE, and the
  // connection stays in the queue, when there is no descriptor for it. What isn't a connection is
  // dropped with a line in the log.
  base::Result<std::optional<Arrival>> receive();

 private:
  HandOffEnds ends_;
  const std::uint64_t event_id_;
  int epoll_ = -1;
  bool watching_ = false;
};

}  // namespace corn::server
