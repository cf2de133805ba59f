// SPDX-License-Identifier: Apache-2.0
#include "base/statsd.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <iterator>

#include "base/log.h"

namespace corn::base {
namespace {

constexpr std::uint16_t kDefaultPort = 8125;
constexpr std::string_view kUnix = "unix:";

// The dots at the end of what was given don't count.
std::string with_dot(std::string_view prefix) {
  while (prefix.ends_with('.')) prefix.remove_suffix(1);
  return prefix.empty() ? std::string() : std::string(prefix) + ".";
}

// Milliseconds as Python writes a float: at least one digit after the point, no zeros beyond.
void append_milliseconds(std::string& out, Duration duration) {
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(duration).count();
  fmt::format_to(std::back_inserter(out), "{}.{:03}", micros / 1000, micros % 1000);
  for (int i = 0; i < 2 && out.back() == '0'; ++i) out.pop_back();
}

}  // namespace

Result<EndpointName> parse_statsd_address(std::string_view text) {
  if (!text.starts_with(kUnix)) return parse_host_port(text, kDefaultPort);
  text.remove_prefix(kUnix.size());
  if (text.starts_with("//")) text.remove_prefix(2);
  if (text.empty()) return fail("a path after unix: is wanted");
  return EndpointName{true, std::string(text), 0};
}

Statsd::Statsd(const StatsdOptions& options)
    : address_(options.address),
      prefix_(with_dot(options.prefix)),
      suffix_(options.tags.empty() ? "" : "|#" + options.tags) {}

Result<std::shared_ptr<Statsd>> Statsd::open(const StatsdOptions& options) {
  const auto failed = [&](const Error& error) {
    return fail("metrics can't be sent to " + options.address + ": " + error.message);
  };
  auto name = parse_statsd_address(options.address);
  if (!name) return failed(name.error());
  auto endpoint = resolve(*name, SOCK_DGRAM);
  if (!endpoint) return failed(endpoint.error());
  auto socket = open_socket(*endpoint, SOCK_DGRAM);
  if (!socket) return failed(socket.error());
  // A unix socket is named with each datagram, so that a server may come later, or anew.
  if (!endpoint->local() &&
      ::connect(socket->get(), reinterpret_cast<const sockaddr*>(&endpoint->address),
                endpoint->size) < 0) {
    return failed({std::strerror(errno), errno});
  }
  std::shared_ptr<Statsd> statsd(new Statsd(options));
  statsd->endpoint_ = *endpoint;
  statsd->socket_ = std::move(*socket);
  return statsd;
}

void Statsd::append(std::string& out, std::string_view name, std::string_view value) const {
  if (!out.empty()) out += '\n';
  out += prefix_;
  out += name;
  out += ':';
  out += value;
  out += suffix_;
}

void Statsd::count_request(int status, Duration duration) {
  thread_local std::string datagram;
  thread_local std::string value;
  datagram.clear();
  value.clear();
  append_milliseconds(value, duration);
  value += "|ms";
  append(datagram, "gunicorn.request.duration", value);
  append(datagram, "gunicorn.requests", "1|c|@1.0");
  value = "gunicorn.request.status.";
  fmt::format_to(std::back_inserter(value), "{}", status);
  append(datagram, value, "1|c|@1.0");
  send(datagram);
}

void Statsd::count(std::string_view name) {
  std::string datagram;
  append(datagram, name, "1|c|@1.0");
  send(datagram);
}

void Statsd::gauge(std::string_view name, std::uint64_t value) {
  std::string datagram;
  append(datagram, name, fmt::format("{}|g", value));
  send(datagram);
}

void Statsd::histogram(std::string_view name, std::uint64_t value) {
  std::string datagram;
  append(datagram, name, fmt::format("{}|h", value));
  send(datagram);
}

void Statsd::send(std::string_view datagram) {
  constexpr int kFlags = MSG_DONTWAIT | MSG_NOSIGNAL;
  const auto* address =
      endpoint_.local() ? reinterpret_cast<const sockaddr*>(&endpoint_.address) : nullptr;
  const ssize_t sent = ::sendto(socket_.get(), datagram.data(), datagram.size(), kFlags, address,
                                address == nullptr ? 0 : endpoint_.size);
  if (sent >= 0 || failed_.exchange(true)) return;
  const int error = errno;
  log_warning("Metrics don't reach {}: {}; what is lost from now on is not reported", address_,
              std::strerror(error));
}

bool StatsdLogCounter::take(LogLevel level, std::string_view text, bool /*shown*/) {
  if (level == LogLevel::kCritical) {
    statsd_->count("gunicorn.log.critical");
  } else if (level == LogLevel::kError) {
    const bool exception =
        text.find("Traceback (most recent call last):") != std::string_view::npos;
    statsd_->count(exception ? "gunicorn.log.exception" : "gunicorn.log.error");
  } else if (level == LogLevel::kWarning) {
    statsd_->count("gunicorn.log.warning");
  }
  return false;
}

}  // namespace corn::base
