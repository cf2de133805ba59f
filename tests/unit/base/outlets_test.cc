// SPDX-License-Identifier: Apache-2.0
// Metrics and syslog as they go over the wire, to sockets of the test's own.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/log_sink.h"
#include "base/statsd.h"
#include "base/syslog.h"

namespace corn::base {
namespace {

// Takes what is sent to it on the loopback.
class Receiver {
 public:
  explicit Receiver(int type) : socket_(::socket(AF_INET, type, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    socklen_t size = sizeof address;
    EXPECT_EQ(::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
    const timeval patience{10, 0};
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    EXPECT_EQ(::listen(socket_.get(), 1), type == SOCK_STREAM ? 0 : -1);
  }
  [[nodiscard]] std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  [[nodiscard]] std::string receive() const {
    std::string text(70000, '\0');
    const ssize_t size = ::recv(socket_.get(), text.data(), text.size(), 0);
    text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    return text;
  }
  [[nodiscard]] UniqueFd accept() const {
    return UniqueFd(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  }

 private:
  UniqueFd socket_;
  std::uint16_t port_ = 0;
};

std::shared_ptr<Statsd> statsd(const Receiver& receiver, const std::string& prefix = "",
                               const std::string& tags = "") {
  auto opened = Statsd::open({receiver.address(), prefix, tags});
  EXPECT_TRUE(opened) << opened.error().message;
  return *opened;
}

TEST(Statsd, ARequestIsOneDatagramOfThreeMetrics) {
  const Receiver receiver(SOCK_DGRAM);
  statsd(receiver)->count_request(204, std::chrono::microseconds(12'340));
  EXPECT_EQ(receiver.receive(),
            "gunicorn.request.duration:12.34|ms\n"
            "gunicorn.requests:1|c|@1.0\n"
            "gunicorn.request.status.204:1|c|@1.0");
}

TEST(Statsd, DurationsAreWrittenAsPythonWritesNumbers) {
  const Receiver receiver(SOCK_DGRAM);
  const auto to = statsd(receiver);
  const auto written = [&](std::int64_t micros) {
    to->count_request(200, std::chrono::microseconds(micros));
    const std::string text = receiver.receive();
    const std::size_t begin = text.find(':') + 1;
    return text.substr(begin, text.find('|') - begin);
  };
  EXPECT_EQ(written(0), "0.0");
  EXPECT_EQ(written(7), "0.007");
  EXPECT_EQ(written(500), "0.5");
  EXPECT_EQ(written(3'000'000), "3000.0");
}

TEST(Statsd, PrefixEndsWithOneDotAndTagsFollowEachMetric) {
  const Receiver receiver(SOCK_DGRAM);
  for (const char* prefix : {"shop", "shop.", "shop.."}) {
    statsd(receiver, prefix, "a:1,b:2")->gauge("gunicorn.workers", 3);
    EXPECT_EQ(receiver.receive(), "shop.gunicorn.workers:3|g|#a:1,b:2");
  }
  statsd(receiver)->histogram("gunicorn.backlog", 0);
  EXPECT_EQ(receiver.receive(), "gunicorn.backlog:0|h");
}

TEST(Statsd, AddressesAreReadAsGunicornReadsThem) {
  EXPECT_EQ(parse_statsd_address("host")->port, 8125);
  EXPECT_EQ(parse_statsd_address("[::1]:9")->host, "::1");
  EXPECT_EQ(parse_statsd_address("[::1]:9")->port, 9);
  EXPECT_EQ(parse_statsd_address("unix:/a/b")->host, "/a/b");
  EXPECT_EQ(parse_statsd_address("unix:///a/b")->host, "/a/b");
  for (const char* wrong : {"", ":8125", "::1", "host:", "host:0", "host:70000", "a/b", "unix:"}) {
    EXPECT_FALSE(parse_statsd_address(wrong)) << wrong;
  }
}

class LogSinkTest : public testing::Test {
 protected:
  void TearDown() override {
    set_log_sinks({});
    ASSERT_TRUE(open_log({}));
  }
};

TEST_F(LogSinkTest, EntriesAreCountedByLevelWhateverIsShown) {
  const Receiver receiver(SOCK_DGRAM);
  ASSERT_TRUE(open_log({"/dev/null", LogLevel::kCritical, LogFormat::kText}));
  set_log_sinks({std::make_shared<StatsdLogCounter>(statsd(receiver))});
  log_info("not counted");
  log_warning("a");
  log_error("b");
  log_error("c\nTraceback (most recent call last):\n  ...");
  log_critical("d");
  for (const char* level : {"warning", "error", "exception", "critical"}) {
    EXPECT_EQ(receiver.receive(), std::string("gunicorn.log.") + level + ":1|c|@1.0");
  }
}

TEST_F(LogSinkTest, WhatASinkTakesOverIsNotWrittenAndMayBeGivenBack) {
  struct Taker final : LogSink {
    bool take(LogLevel, std::string_view text, bool shown) override {
      taken += std::string(text) + (shown ? "+" : "-");
      log_error("what a sink logs is not told to it");
      return text != "left";
    }
    std::string taken;
  };
  const std::string path = testing::TempDir() + "corn-sink-log";
  ASSERT_TRUE(open_log({path, LogLevel::kError, LogFormat::kText}));
  const auto taker = std::make_shared<Taker>();
  set_log_sinks({taker});
  log_error("kept");
  log_error("left");
  log_warning("low");
  log_info("lower");
  EXPECT_EQ(taker->taken, "kept+left+low-");
  set_log_sinks({});
  write_log_line(LogLevel::kInfo, "given back");
  FILE* file = ::fopen(path.c_str(), "r");
  ASSERT_NE(file, nullptr);
  std::string text(4096, '\0');
  text.resize(::fread(text.data(), 1, text.size(), file));
  ::fclose(file);
  ::unlink(path.c_str());
  EXPECT_EQ(text.find("kept"), std::string::npos);
  EXPECT_EQ(text.find("low"), std::string::npos);
  EXPECT_NE(text.find("left"), std::string::npos);
  EXPECT_NE(text.find("[INFO] given back"), std::string::npos);
}

SyslogOptions syslog_options(const std::string& address) {
  return {.enabled = true, .address = address, .tag = "gunicorn.shop", .facility = 16};
}

std::string entry(const std::string& start, const std::string& text) {
  return start + ": [" + std::to_string(::getpid()) + "] " + text + std::string(1, '\0');
}

TEST(Syslog, EntriesHavePriorityTagPidAndAZeroByte) {
  const Receiver receiver(SOCK_DGRAM);
  const auto syslog = *Syslog::open(syslog_options("udp://" + receiver.address()));
  const std::pair<LogLevel, int> kPriorities[] = {{LogLevel::kDebug, 135},
                                                  {LogLevel::kInfo, 134},
                                                  {LogLevel::kWarning, 132},
                                                  {LogLevel::kError, 131},
                                                  {LogLevel::kCritical, 130}};
  for (const auto& [level, priority] : kPriorities) {
    syslog->error_entry(level, "some\nlines");
    EXPECT_EQ(receiver.receive(),
              entry("<" + std::to_string(priority) + ">gunicorn.shop.error", "some\nlines"));
  }
  syslog->access_line("GET /");
  EXPECT_EQ(receiver.receive(), entry("<134>gunicorn.shop.access", "GET /"));
}

TEST(Syslog, AnEntryLongerThanADatagramIsShortened) {
  const Receiver receiver(SOCK_DGRAM);
  const auto syslog = *Syslog::open(syslog_options("udp://" + receiver.address()));
  syslog->access_line(std::string(100'000, 'x'));
  const std::string text = receiver.receive();
  EXPECT_GT(text.size(), 50'000U);
  EXPECT_NE(text.find("bytes left out"), std::string::npos);
  EXPECT_EQ(syslog->lost(), 0U);
}

TEST(Syslog, AStreamThatIsNotReadLosesEntriesAndNeverTearsThem) {
  const Receiver receiver(SOCK_STREAM);
  const auto syslog = *Syslog::open(syslog_options("tcp://" + receiver.address()));
  const UniqueFd connection = receiver.accept();
  ASSERT_TRUE(connection);
  std::uint64_t sent = 0;
  while (syslog->lost() == 0) {
    syslog->access_line(std::to_string(sent++) + std::string(5000, 'x'));
  }
  const std::uint64_t taken = sent - 1;
  std::string received;
  std::string buffer(1 << 16, '\0');
  std::uint64_t count = 0;
  while (count < taken) {
    const ssize_t size = ::recv(connection.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (size > 0) {
      received.append(buffer, 0, static_cast<std::size_t>(size));
    } else {
      syslog->access_line("more");  // sends what was kept
    }
    count = static_cast<std::uint64_t>(std::count(received.begin(), received.end(), '\0'));
  }
  for (std::uint64_t i = 0; i < taken; ++i) {
    const std::size_t end = received.find('\0');
    const std::string wanted =
        entry("<134>gunicorn.shop.access", std::to_string(i) + std::string(5000, 'x'));
    ASSERT_EQ(received.substr(0, end + 1), wanted);
    received.erase(0, end + 1);
  }
}

TEST(Syslog, AddressesAreReadAsGunicornReadsThem) {
  EXPECT_EQ(parse_syslog_address("udp://host")->name.port, 514);
  EXPECT_EQ(parse_syslog_address("udp://")->name.host, "localhost");
  EXPECT_EQ(parse_syslog_address("tcp://[::1]:601")->name.host, "::1");
  EXPECT_EQ(parse_syslog_address("tcp://[::1]:601")->type, SOCK_STREAM);
  EXPECT_EQ(parse_syslog_address("unix:///dev/log")->type, 0);
  EXPECT_EQ(parse_syslog_address("unix:///dev/log#stream")->type, SOCK_STREAM);
  EXPECT_EQ(parse_syslog_address("unix:///dev/log#dgram")->name.host, "/dev/log");
  for (const char* wrong :
       {"", "host:514", "http://host", "udp://host:x", "unix://", "unix:///dev/log#raw"}) {
    EXPECT_FALSE(parse_syslog_address(wrong)) << wrong;
  }
}

}  // namespace
}  // namespace corn::base
