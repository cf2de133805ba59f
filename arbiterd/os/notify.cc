// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/os/notify.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <utility>

namespace corn::os {
namespace {

// Reads and unsets a variable, and notes it in `environment`. Empty: not set.
std::string take_variable(const char* name, std::vector<std::string>& environment) {
  const char* const text = ::getenv(name);
  if (text == nullptr) return "";
  std::string value(text);
  environment.push_back(std::string(name) + "=" + value);
  ::unsetenv(name);
  return value;
}

std::optional<std::uint64_t> parse_number(const std::string& text) {
  std::uint64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number);
  if (parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
  return number;
}

// A newline would end the assignment and begin another.
std::string one_line(std::string_view text) {
  std::string line(text);
  for (char& byte : line) {
    if (byte == '\n') byte = ' ';
  }
  return line;
}

}  // namespace

base::Result<Notifier> Notifier::from_environment() {
  Notifier notifier;
  const std::string address = take_variable("NOTIFY_SOCKET", notifier.environment_);
  const std::string interval = take_variable("WATCHDOG_USEC", notifier.environment_);
  const std::string watched_pid = take_variable("WATCHDOG_PID", notifier.environment_);
  if (address.empty()) return notifier;

  if ((address[0] != '/' && address[0] != '@') || address.size() == 1 ||
      address.size() > sizeof(sockaddr_un::sun_path) - 1) {
    return base::fail("NOTIFY_SOCKET is '" + address +
                      "'; it must be an absolute path or '@' and an abstract name, of at most 107 "
                      "bytes");
  }
  notifier.socket_.reset(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!notifier.socket_) return base::fail_errno("create the socket to NOTIFY_SOCKET", errno);
  notifier.address_ = address;

  const std::optional<std::uint64_t> microseconds = parse_number(interval);
  const std::optional<std::uint64_t> pid = parse_number(watched_pid);
  const bool meant_for_us = watched_pid.empty() || pid == static_cast<std::uint64_t>(::getpid());
  if (microseconds && *microseconds > 0 && meant_for_us) {
    notifier.watchdog_ = std::chrono::microseconds(*microseconds) / 2;
  }
  return notifier;
}

base::Status Notifier::ready(std::string_view status) {
  return send("READY=1\nSTATUS=" + one_line(status));
}

base::Status Notifier::reloading() {
  // Type=notify-reload tells this reload from an earlier one by the time (systemd 253,
  // sd_notify(3)).
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  const std::int64_t microseconds =
      static_cast<std::int64_t>(now.tv_sec) * 1'000'000 + now.tv_nsec / 1000;
  return send("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(microseconds));
}

base::Status Notifier::stopping() { return send("STOPPING=1"); }

base::Status Notifier::status(std::string_view text) { return send("STATUS=" + one_line(text)); }

base::Status Notifier::main_pid(pid_t pid) { return send("MAINPID=" + std::to_string(pid)); }

base::Status Notifier::watchdog() { return send("WATCHDOG=1"); }

base::Status Notifier::send(const std::string& message) {
  if (!enabled()) return {};
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  std::memcpy(name.sun_path, address_.data(), address_.size());
  socklen_t size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address_.size());
  if (address_[0] == '@') {
    name.sun_path[0] = '\0';
  } else {
    ++size;  // the NUL behind a path counts
  }
  if (::sendto(socket_.get(), message.data(), message.size(), MSG_NOSIGNAL,
               reinterpret_cast<const sockaddr*>(&name), size) < 0) {
    return base::fail_errno("notify the service manager at " + address_, errno);
  }
  return {};
}

}  // namespace corn::os
