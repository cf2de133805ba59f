// SPDX-License-Identifier: Apache-2.0
#include "workerd/server/acceptor.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <utility>
#include <vector>

namespace corn::server {
namespace {

constexpr std::uint64_t kFirstId = 7;

class AcceptorTest : public ::testing::Test {
 protected:
  AcceptorTest() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    base::UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address_);
    EXPECT_EQ(::bind(listener.get(), peer(), size), 0);
    EXPECT_EQ(::listen(listener.get(), 16), 0);
    EXPECT_EQ(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address_), &size), 0);
    std::vector<base::UniqueFd> listeners;
    listeners.push_back(std::move(listener));
    acceptor_ = std::make_unique<Acceptor>(std::move(listeners), kFirstId);
    EXPECT_TRUE(acceptor_->open(epoll_.get(), false));
  }
  const sockaddr* peer() const { return reinterpret_cast<const sockaddr*>(&address_); }
  base::UniqueFd connect() {
    base::UniqueFd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(client.get(), peer(), sizeof(address_)), 0);
    return client;
  }
  // What is ready now.
  int ready() {
    return ::epoll_wait(epoll_.get(), events_.data(), static_cast<int>(events_.size()), 0);
  }

  base::UniqueFd epoll_;
  sockaddr_in address_{};
  std::unique_ptr<Acceptor> acceptor_;
  std::array<epoll_event, 4> events_;
  base::TimePoint now_{std::chrono::seconds(100)};
};

TEST_F(AcceptorTest, ConnectionsAreReportedOnlyWhileWatched) {
  const base::UniqueFd client = connect();
  EXPECT_EQ(ready(), 0);
  acceptor_->watch(true);
  ASSERT_EQ(ready(), 1);
  EXPECT_EQ(events_[0].data.u64, kFirstId);
  acceptor_->watch(false);
  EXPECT_EQ(ready(), 0);
}

TEST_F(AcceptorTest, AcceptedSocketNeitherBlocksNorSurvivesExec) {
  const base::UniqueFd client = connect();
  const auto accepted = acceptor_->accept(0, now_);
  ASSERT_TRUE(accepted);
  EXPECT_NE(::fcntl(accepted->socket.get(), F_GETFL) & O_NONBLOCK, 0);
  EXPECT_NE(::fcntl(accepted->socket.get(), F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_FALSE(acceptor_->accept(0, now_));
}

TEST_F(AcceptorTest, AcceptedSocketSendsWithoutNaglesDelay) {
  const base::UniqueFd client = connect();
  const auto accepted = acceptor_->accept(0, now_);
  ASSERT_TRUE(accepted);
  int on = 0;
  socklen_t size = sizeof(on);
  ASSERT_EQ(::getsockopt(accepted->socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, &size), 0);
  EXPECT_NE(on, 0);
}

TEST_F(AcceptorTest, WithoutDescriptorsAcceptingPausesAndGoesOn) {
  const base::UniqueFd client = connect();
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &old), 0);
  const rlimit none{0, old.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  acceptor_->watch(true);
  EXPECT_FALSE(acceptor_->accept(0, now_));
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &old), 0);
  ASSERT_TRUE(acceptor_->paused_until());
  EXPECT_EQ(*acceptor_->paused_until() - now_, std::chrono::milliseconds(100));
  acceptor_->watch(true);
  EXPECT_EQ(ready(), 0)
      << "a listener that is watched while nothing can be accepted makes a busy loop";
  EXPECT_FALSE(acceptor_->accept(0, now_));

  acceptor_->end_pause(now_ + std::chrono::milliseconds(99));
  EXPECT_TRUE(acceptor_->paused_until());
  acceptor_->end_pause(now_ + std::chrono::milliseconds(100));
  acceptor_->watch(true);
  EXPECT_EQ(ready(), 1);
  EXPECT_TRUE(acceptor_->accept(0, now_));
}

}  // namespace
}  // namespace corn::server
