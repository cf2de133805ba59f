// SPDX-License-Identifier: Apache-2.0
#include "base/syslog.h"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <mutex>
#include <utility>

#include "base/log.h"
#include "base/message.h"

namespace corn::base {
namespace {

constexpr std::uint16_t kDefaultPort = 514;
constexpr std::string_view kUnix = "unix://";
constexpr Duration kRetryInterval = std::chrono::seconds(1);
constexpr int kFlags = MSG_DONTWAIT | MSG_NOSIGNAL;
// What fits into a UDP datagram with its prefix.
constexpr std::size_t kMostText = 60 * 1024;
// Of entries that a stream is slow to take.
constexpr std::size_t kMostPending = 64 * 1024;
// How long a start waits for a connection, so that its first entries aren't lost. Milliseconds.
constexpr int kConnectWait = 1000;
constexpr int kInformational = 6;

// RFC 3164, table 2.
int severity_of(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return 7;
    case LogLevel::kInfo:
      return kInformational;
    case LogLevel::kWarning:
      return 4;
    case LogLevel::kError:
      return 3;
    case LogLevel::kCritical:
      return 2;
  }
  return kInformational;
}

bool is_full(int error) { return error == EAGAIN || error == EWOULDBLOCK || error == ENOBUFS; }

}  // namespace

Result<SyslogAddress> parse_syslog_address(std::string_view text) {
  SyslogAddress address;
  if (text.starts_with(kUnix)) {
    text.remove_prefix(kUnix.size());
    const std::size_t hash = text.find('#');
    if (hash != std::string_view::npos) {
      const std::string_view type = text.substr(hash + 1);
      if (type != "dgram" && type != "stream") {
        return fail("after '#' goes dgram or stream, not '" + std::string(type) + "'");
      }
      address.type = type == "dgram" ? SOCK_DGRAM : SOCK_STREAM;
    }
    address.name = {true, std::string(text.substr(0, hash)), 0};
    if (address.name.host.empty()) return fail("a path after unix:// is wanted");
    return address;
  }
  const bool udp = text.starts_with("udp://");
  if (!udp && !text.starts_with("tcp://")) {
    return fail("udp://HOST:PORT, tcp://HOST:PORT or unix://PATH is wanted");
  }
  text.remove_prefix(6);
  if (text.empty()) text = "localhost";
  auto name = parse_host_port(text, kDefaultPort);
  if (!name) return tl::unexpected(name.error());
  address.name = std::move(*name);
  address.type = udp ? SOCK_DGRAM : SOCK_STREAM;
  return address;
}

Result<std::shared_ptr<Syslog>> Syslog::open(const SyslogOptions& options) {
  const auto failed = [&](const Error& error) {
    return fail("nothing can be sent to syslog at " + options.address + ": " + error.message);
  };
  auto address = parse_syslog_address(options.address);
  if (!address) return failed(address.error());
  auto endpoint = resolve(address->name, address->type == 0 ? SOCK_DGRAM : address->type);
  if (!endpoint) return failed(endpoint.error());
  std::shared_ptr<Syslog> syslog(new Syslog(options));
  syslog->address_ = std::move(*address);
  syslog->endpoint_ = *endpoint;
  const std::lock_guard lock(syslog->mutex_);
  if (syslog->connect_locked() && syslog->type_ == SOCK_STREAM) {
    pollfd connected{syslog->socket_.get(), POLLOUT, 0};
    ::poll(&connected, 1, kConnectWait);
  }
  return syslog;
}

Syslog::~Syslog() {
  const std::lock_guard lock(mutex_);
  if (socket_) static_cast<void>(flush_locked());
}

bool Syslog::connect_as_locked(int type) {
  auto socket = open_socket(endpoint_, type);
  if (!socket) {
    errno = socket.error().os_errno;
    return false;
  }
  const int connected = ::connect(
      socket->get(), reinterpret_cast<const sockaddr*>(&endpoint_.address), endpoint_.size);
  if (connected < 0 && errno != EINPROGRESS) return false;
  socket_ = std::move(*socket);
  type_ = type;
  return true;
}

bool Syslog::connect_locked() {
  const bool connected = address_.type != 0
                             ? connect_as_locked(address_.type)
                             : connect_as_locked(SOCK_DGRAM) || connect_as_locked(SOCK_STREAM);
  next_attempt_ = std::chrono::steady_clock::now() + kRetryInterval;
  return connected;
}

void Syslog::disconnect_locked() {
  const int error = errno;
  lost_ += static_cast<std::uint64_t>(std::count(pending_.begin(), pending_.end(), '\0'));
  pending_.clear();
  socket_.reset();
  errno = error;
}

// Sends what a stream has not taken yet; true when nothing is left.
bool Syslog::flush_locked() {
  while (!pending_.empty()) {
    const ssize_t sent = ::send(socket_.get(), pending_.data(), pending_.size(), kFlags);
    if (sent < 0) return false;
    pending_.erase(0, static_cast<std::size_t>(sent));
  }
  return true;
}

// A connection that is still being made takes nothing yet (EAGAIN).
bool Syslog::send_on_stream_locked(std::string_view message) {
  ssize_t sent = 0;
  if (flush_locked()) sent = ::send(socket_.get(), message.data(), message.size(), kFlags);
  if (sent < 0 || !pending_.empty()) {
    if (!is_full(errno) || pending_.size() + message.size() > kMostPending) return false;
    sent = 0;
  }
  pending_ += message.substr(static_cast<std::size_t>(sent));
  return true;
}

bool Syslog::send_locked(std::string_view message) {
  const bool stream = address_.type == SOCK_STREAM;
  for (int attempt = 0; attempt < 2; ++attempt) {
    if (!socket_) {
      if (stream && std::chrono::steady_clock::now() < next_attempt_) {
        errno = ENOTCONN;
        return false;
      }
      if (!connect_locked()) return false;
    }
    const bool sent = type_ == SOCK_STREAM
                          ? send_on_stream_locked(message)
                          : ::send(socket_.get(), message.data(), message.size(), kFlags) >= 0;
    if (sent) return true;
    if (is_full(errno) || errno == EMSGSIZE) return false;
    // A UDP socket tells what became of an earlier datagram; others want a new connection.
    if (type_ == SOCK_STREAM || endpoint_.local()) disconnect_locked();
  }
  return false;
}

void Syslog::send(int severity, std::string_view log_name, std::string_view text) {
  std::string message;
  message.reserve(text.size() + options_.tag.size() + 48);
  fmt::format_to(std::back_inserter(message), "<{}>{}.{}: [{}] ", options_.facility * 8 + severity,
                 options_.tag, log_name, ::getpid());
  message += text.size() > kMostText ? shorten_middle(text, kMostText) : text;
  message += '\0';

  std::uint64_t missing = 0;
  int error = 0;
  {
    const std::lock_guard lock(mutex_);
    if (!send_locked(message)) {
      error = errno;
      ++lost_;
      if (std::exchange(failing_, true)) return;
    } else if (std::exchange(failing_, false)) {
      missing = lost_ - std::exchange(lost_before_, lost_);
    }
  }
  // Not told to sinks, as what a sink logs; but an access line is sent outside of any.
  if (error != 0) {
    log_warning("Syslog at {} takes nothing: {}; entries are lost until it does", options_.address,
                std::strerror(error));
  } else if (missing > 0) {
    log_warning("Syslog at {} takes entries again; {} were lost", options_.address, missing);
  }
}

void Syslog::error_entry(LogLevel level, std::string_view text) {
  while (text.ends_with('\n')) text.remove_suffix(1);
  send(severity_of(level), "error", text);
}

void Syslog::access_line(std::string_view line) { send(kInformational, "access", line); }

std::uint64_t Syslog::lost() const {
  const std::lock_guard lock(mutex_);
  return lost_;
}

}  // namespace corn::base
