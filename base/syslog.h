// SPDX-License-Identifier: Apache-2.0
// Log entries for syslog, in the form in which gunicorn's go there (RFC 3164 without its time and
// host, a zero byte at the end):
//   <14>gunicorn.shop.error: [13126] Booting worker with pid: 13126
// Nothing waits: what can't be sent at once is lost and counted; the log says when that begins and,
// with the count, when it is over. A connection (TCP, a unix stream) that breaks is made anew with
// a later entry. Any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/endpoint.h"
#include "base/fork_mutex.h"
#include "base/log_sink.h"
#include "base/outlet_options.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace corn::base {

struct SyslogAddress {
  EndpointName name;
  int type = 0;  // SOCK_DGRAM, SOCK_STREAM; 0: whichever the unix socket has
};

// Reads "udp://HOST:PORT", "tcp://HOST:PORT" (514 where no port is given), "unix://PATH",
// "unix://PATH#dgram", "unix://PATH#stream".
Result<SyslogAddress> parse_syslog_address(std::string_view text);

class Syslog {
 public:
  // Looks the server's address up, which may wait for the name service, and for a connection up to
  // a second. Nobody need listen yet.
  static Result<std::shared_ptr<Syslog>> open(const SyslogOptions& options);
  ~Syslog();
  Syslog(const Syslog&) = delete;
  Syslog& operator=(const Syslog&) = delete;

  void error_entry(LogLevel level, std::string_view text);
  void access_line(std::string_view line);

  // Entries that were lost.
  [[nodiscard]] std::uint64_t lost() const;

 private:
  explicit Syslog(SyslogOptions options) : options_(std::move(options)) {}
  void send(int severity, std::string_view log_name, std::string_view text);
  [[nodiscard]] bool send_locked(std::string_view message);
  [[nodiscard]] bool connect_locked();
  [[nodiscard]] bool connect_as_locked(int type);
  void disconnect_locked();
  [[nodiscard]] bool flush_locked();
  [[nodiscard]] bool send_on_stream_locked(std::string_view message);

  // Constant after open().
  const SyslogOptions options_;
  SyslogAddress address_;
  Endpoint endpoint_;

  mutable ForkMutex mutex_;
  // Guarded by mutex_.
  UniqueFd socket_;
  int type_ = 0;         // of socket_
  std::string pending_;  // what a stream has not taken yet
  TimePoint next_attempt_{};
  std::uint64_t lost_ = 0;
  std::uint64_t lost_before_ = 0;  // of those, reported already
  bool failing_ = false;
};

// Passes the entries of the log on.
class SyslogSink final : public LogSink {
 public:
  explicit SyslogSink(std::shared_ptr<Syslog> syslog) : syslog_(std::move(syslog)) {}
  bool take(LogLevel level, std::string_view text, bool shown) override {
    if (shown) syslog_->error_entry(level, text);
    return false;
  }

 private:
  const std::shared_ptr<Syslog> syslog_;
};

}  // namespace corn::base
