// SPDX-License-Identifier: Apache-2.0
#include "workerd/server/acceptor.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>

#include <cerrno>
#include <cstring>

#include "base/log.h"
#include "workerd/server/fork_fence.h"

namespace corn::server {
namespace {

constexpr base::Duration kPause = std::chrono::milliseconds(100);
constexpr base::Duration kComplaintInterval = std::chrono::seconds(10);

}  // namespace

base::Status Acceptor::open(int epoll, bool with_first_bytes) {
  epoll_ = epoll;
  for (const base::UniqueFd& listener : listeners_) {
    close_in_forks(listener.get());
    const int flags = ::fcntl(listener.get(), F_GETFL);
    if (flags < 0 || ::fcntl(listener.get(), F_SETFL, flags | O_NONBLOCK) < 0) {
      return base::fail_errno("cannot make a listening socket non-blocking", errno);
    }
    // Accepted sockets inherit it: no call for each. Unix sockets refuse it and don't need it.
    const int on = 1;
    ::setsockopt(listener.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    const int seconds = with_first_bytes ? 1 : 0;
    ::setsockopt(listener.get(), IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof(seconds));
  }
  return {};
}

void Acceptor::watch(bool wanted) {
  wanted = wanted && !paused_until_;
  if (wanted == watching_) return;
  watching_ = wanted;
  for (std::size_t i = 0; i < listeners_.size(); ++i) {
    epoll_event event{};
    event.events = EPOLLIN | EPOLLEXCLUSIVE;
    event.data.u64 = first_event_id_ + i;
    const int operation = wanted ? EPOLL_CTL_ADD : EPOLL_CTL_DEL;
    if (::epoll_ctl(epoll_, operation, listeners_[i].get(), &event) < 0) {
      base::log_error("cannot {} a listening socket: {}", wanted ? "watch" : "stop watching",
                      std::strerror(errno));
    }
  }
}

std::optional<Accepted> Acceptor::accept(std::size_t index, base::TimePoint now) {
  if (index >= listeners_.size() || !listeners_[index] || paused_until_) return std::nullopt;
  for (;;) {
    Accepted accepted;
    socklen_t size = sizeof(accepted.peer);
    accepted.socket.reset(::accept4(listeners_[index].get(),
                                    reinterpret_cast<sockaddr*>(&accepted.peer), &size,
                                    SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (accepted.socket) return accepted;
    switch (errno) {
      case EINTR:
      case ECONNABORTED:  // gone before it was taken
        continue;
      case EMFILE:
      case ENFILE:
      case ENOBUFS:
      case ENOMEM:
        pause(errno, now);
        return std::nullopt;
      default:
        return std::nullopt;
    }
  }
}

void Acceptor::pause(int os_errno, base::TimePoint now) {
  paused_until_ = now + kPause;
  if (!last_complaint_ || now - *last_complaint_ >= kComplaintInterval) {
    last_complaint_ = now;
    base::log_error(
        "cannot accept connections: {}; they wait in the backlog. Raise the limit of open files "
        "(ulimit -n, LimitNOFILE) or lower worker_connections",
        std::strerror(os_errno));
  }
}

void Acceptor::end_pause(base::TimePoint now) {
  if (paused_until_ && *paused_until_ <= now) paused_until_.reset();
}

void Acceptor::close() {
  watch(false);
  for (std::size_t i = 0; i < listeners_.size(); ++i) close(i);
}

void Acceptor::close(std::size_t index) {
  open_across_forks(listeners_[index].get());
  listeners_[index].reset();
}

}  // namespace corn::server
