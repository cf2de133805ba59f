// SPDX-License-Identifier: Apache-2.0
// Metrics for a StatsD server, under gunicorn's names and in its form:
//   PREFIX.gunicorn.requests:1|c|@1.0|#TAGS
// What belongs together is one datagram, its metrics a line each. Nothing waits: what the kernel
// doesn't take at once is lost, which is said in the log once. Any thread.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/endpoint.h"
#include "base/log_sink.h"
#include "base/outlet_options.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace corn::base {

// Reads "HOST:PORT" (8125 where no port is given), "unix:PATH" or "unix://PATH".
Result<EndpointName> parse_statsd_address(std::string_view text);

class Statsd {
 public:
  // Looks the server's address up, which may wait for the name service. A unix socket need not
  // exist yet.
  static Result<std::shared_ptr<Statsd>> open(const StatsdOptions& options);

  // gunicorn.request.duration, gunicorn.requests and gunicorn.request.status.STATUS.
  void count_request(int status, Duration duration);
  void count(std::string_view name);  // one more: "gunicorn.log.error"
  void gauge(std::string_view name, std::uint64_t value);
  void histogram(std::string_view name, std::uint64_t value);

 private:
  explicit Statsd(const StatsdOptions& options);
  void append(std::string& out, std::string_view name, std::string_view value) const;
  void send(std::string_view datagram);

  // Constant after open().
  std::string address_;
  std::string prefix_;  // with its '.'
  std::string suffix_;  // "|#TAGS", or empty
  Endpoint endpoint_;
  UniqueFd socket_;

  std::atomic<bool> failed_{false};
};

// Counts entries of the log: gunicorn.log.critical, .error, .warning, and .exception in place of
// .error where the entry shows a traceback.
class StatsdLogCounter final : public LogSink {
 public:
  explicit StatsdLogCounter(std::shared_ptr<Statsd> statsd) : statsd_(std::move(statsd)) {}
  bool take(LogLevel level, std::string_view text, bool shown) override;

 private:
  const std::shared_ptr<Statsd> statsd_;
};

}  // namespace corn::base
