// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/os/notify.h"

#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstring>
#include <ctime>

#include "support.h"

namespace corn::os {
namespace {

// The service manager's end.
class Manager {
 public:
  // A path, or '@' and an abstract name.
  explicit Manager(const std::string& address)
      : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    std::memcpy(name.sun_path, address.data(), address.size());
    if (address[0] == '@') name.sun_path[0] = '\0';
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address.size());
    EXPECT_EQ(::bind(socket_.get(), reinterpret_cast<sockaddr*>(&name), size), 0);
    ::setenv("NOTIFY_SOCKET", address.c_str(), 1);
  }

  // The next datagram; a unix datagram has arrived when sendto returns.
  std::string receive() {
    std::array<char, 1024> text;
    const ssize_t size = ::recv(socket_.get(), text.data(), text.size(), 0);
    return size < 0 ? "(nothing)" : std::string(text.data(), static_cast<std::size_t>(size));
  }

 private:
  base::UniqueFd socket_;
};

class NotifyTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) ::unsetenv(name);
  }
};

TEST_F(NotifyTest, WithoutAManagerNothingHappens) {
  base::Result<Notifier> notifier = Notifier::from_environment();
  ASSERT_TRUE(notifier);
  EXPECT_FALSE(notifier->enabled());
  EXPECT_TRUE(notifier->ready("serving"));
  EXPECT_FALSE(notifier->watchdog_interval());
}

TEST_F(NotifyTest, EveryMessageArrivesAtAPath) {
  const test::TemporaryDirectory directory;
  Manager manager(directory / "notify");
  base::Result<Notifier> notifier = Notifier::from_environment();
  ASSERT_TRUE(notifier);
  EXPECT_TRUE(notifier->enabled());
  EXPECT_TRUE(notifier->ready("2 workers"));
  EXPECT_EQ(manager.receive(), "READY=1\nSTATUS=2 workers");
  EXPECT_TRUE(notifier->status("two\nlines"));
  EXPECT_EQ(manager.receive(), "STATUS=two lines");
  EXPECT_TRUE(notifier->main_pid(123));
  EXPECT_EQ(manager.receive(), "MAINPID=123");
  EXPECT_TRUE(notifier->watchdog());
  EXPECT_EQ(manager.receive(), "WATCHDOG=1");
  EXPECT_TRUE(notifier->stopping());
  EXPECT_EQ(manager.receive(), "STOPPING=1");
}

TEST_F(NotifyTest, ReloadCarriesTheMonotonicTime) {
  const test::TemporaryDirectory directory;
  Manager manager(directory / "notify");
  base::Result<Notifier> notifier = Notifier::from_environment();
  ASSERT_TRUE(notifier);
  const auto microseconds = [] {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1'000'000 + now.tv_nsec / 1000;
  };
  const auto before = microseconds();
  EXPECT_TRUE(notifier->reloading());
  const auto after = microseconds();
  const std::string message = manager.receive();
  const std::string prefix = "RELOADING=1\nMONOTONIC_USEC=";
  ASSERT_TRUE(message.starts_with(prefix)) << message;
  const long long told = std::stoll(message.substr(prefix.size()));
  EXPECT_GE(told, before);
  EXPECT_LE(told, after);
}

TEST_F(NotifyTest, AbstractAddressWorks) {
  Manager manager("@corn-notify-test-" + std::to_string(::getpid()));
  base::Result<Notifier> notifier = Notifier::from_environment();
  ASSERT_TRUE(notifier);
  EXPECT_TRUE(notifier->stopping());
  EXPECT_EQ(manager.receive(), "STOPPING=1");
}

TEST_F(NotifyTest, VariablesAreUnsetAndKeptForASuccessor) {
  const test::TemporaryDirectory directory;
  const Manager manager(directory / "notify");
  const std::string pid = std::to_string(::getpid());
  ::setenv("WATCHDOG_USEC", "30000000", 1);
  ::setenv("WATCHDOG_PID", pid.c_str(), 1);
  const base::Result<Notifier> notifier = Notifier::from_environment();
  ASSERT_TRUE(notifier);
  for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) {
    EXPECT_EQ(::getenv(name), nullptr) << name;
  }
  EXPECT_THAT(notifier->environment(),
              testing::UnorderedElementsAre("NOTIFY_SOCKET=" + (directory / "notify"),
                                            "WATCHDOG_USEC=30000000", "WATCHDOG_PID=" + pid));
  EXPECT_EQ(notifier->watchdog_interval(), std::chrono::seconds(15));
}

TEST_F(NotifyTest, WatchdogOfAnotherProcessIsNotOurs) {
  const test::TemporaryDirectory directory;
  const Manager manager(directory / "notify");
  ::setenv("WATCHDOG_USEC", "30000000", 1);
  ::setenv("WATCHDOG_PID", "1", 1);
  EXPECT_FALSE(Notifier::from_environment()->watchdog_interval());
}

TEST_F(NotifyTest, AddressOfAnotherKindIsRefused) {
  ::setenv("NOTIFY_SOCKET", "vsock:2:1", 1);
  const base::Result<Notifier> notifier = Notifier::from_environment();
  ASSERT_FALSE(notifier);
  EXPECT_THAT(notifier.error().message, testing::HasSubstr("NOTIFY_SOCKET is 'vsock:2:1'"));
}

TEST_F(NotifyTest, ManagerThatHasGoneIsAnErrorNotASignal) {
  const test::TemporaryDirectory directory;
  base::Result<Notifier> notifier = base::fail("not yet");
  {
    const Manager manager(directory / "notify");
    notifier = Notifier::from_environment();
  }
  ASSERT_TRUE(notifier);
  EXPECT_FALSE(notifier->ready(""));
}

TEST_F(NotifyTest, FullQueueDoesNotBlock) {
  const test::TemporaryDirectory directory;
  const Manager manager(directory / "notify");
  base::Result<Notifier> notifier = Notifier::from_environment();
  ASSERT_TRUE(notifier);
  bool refused = false;
  for (int i = 0; i < 10'000 && !refused; ++i) refused = !notifier->watchdog();
  EXPECT_TRUE(refused);
}

}  // namespace
}  // namespace corn::os
