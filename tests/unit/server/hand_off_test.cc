// SPDX-License-Identifier: Apache-2.0
#include "workerd/server/hand_off.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace corn::server {
namespace {

std::pair<base::UniqueFd, base::UniqueFd> make_pair(int type) {
  int ends[2] = {-1, -1};
  EXPECT_EQ(::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends), 0);
  return {base::UniqueFd(ends[0]), base::UniqueFd(ends[1])};
}

HandOffTicket full_ticket() {
  HandOffTicket ticket;
  ticket.listener = {"http://127.0.0.1:80", "127.0.0.1", 80, false};
  ticket.proxy = http::ProxyHeader{2, "TCP6", "2001:db8::1", 4711, "2001:db8::2", 443};
  ticket.first_request = false;
  ticket.proxy_expected = true;
  ticket.since = base::from_nanoseconds(123'456'789);
  return ticket;
}

class HandOffTest : public ::testing::Test {
 protected:
  HandOffTest() {
    auto ends = make_pair(SOCK_DGRAM);
    in_ = ends.first.get();
    hand_off_.emplace(HandOffEnds{std::move(ends.first), std::move(ends.second)}, 1);
  }

  // Puts bytes, and a descriptor unless it is -1, into the queue.
  void put(std::string bytes, int fd) const {
    iovec vector{bytes.data(), bytes.size()};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    if (fd >= 0) {
      message.msg_control = control;
      message.msg_controllen = sizeof(control);
      cmsghdr* header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(sizeof(int));
      std::memcpy(CMSG_DATA(header), &fd, sizeof(fd));
    }
    ASSERT_GE(::sendmsg(in_, &message, 0), 0);
  }

  std::optional<HandOff> hand_off_;
  int in_ = -1;
};

TEST(HandOffTicketTest, WhatIsEncodedIsDecoded) {
  const HandOffTicket ticket = full_ticket();
  const auto decoded = decode_ticket(encode_ticket(ticket));
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->listener.url, ticket.listener.url);
  EXPECT_EQ(decoded->listener.host, ticket.listener.host);
  EXPECT_EQ(decoded->listener.port, 80);
  EXPECT_FALSE(decoded->listener.unix_socket);
  EXPECT_FALSE(decoded->first_request);
  EXPECT_TRUE(decoded->proxy_expected);
  EXPECT_EQ(decoded->since, ticket.since);
  ASSERT_TRUE(decoded->proxy);
  EXPECT_EQ(decoded->proxy->version, 2);
  EXPECT_EQ(decoded->proxy->protocol, "TCP6");
  EXPECT_EQ(decoded->proxy->client_address, "2001:db8::1");
  EXPECT_EQ(decoded->proxy->client_port, 4711);
  EXPECT_EQ(decoded->proxy->proxy_address, "2001:db8::2");
  EXPECT_EQ(decoded->proxy->proxy_port, 443);
}

TEST(HandOffTicketTest, AConnectionWithoutAProxyHeaderHasNone) {
  HandOffTicket ticket;
  ticket.listener = {"unix:/run/app.sock", "/run/app.sock", 0, true};
  const auto decoded = decode_ticket(encode_ticket(ticket));
  ASSERT_TRUE(decoded);
  EXPECT_FALSE(decoded->proxy);
  EXPECT_TRUE(decoded->listener.unix_socket);
  EXPECT_TRUE(decoded->first_request);
  EXPECT_FALSE(decoded->proxy_expected);
}

TEST(HandOffTicketTest, EveryCutAndEverySurplusIsRefused) {
  const std::string whole = encode_ticket(full_ticket());
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(decode_ticket(std::string_view(whole).substr(0, size))) << size;
  }
  EXPECT_FALSE(decode_ticket(whole + "x"));
}

TEST(HandOffTicketTest, AnotherVersionIsRefusedByItsNumber) {
  std::string bytes = encode_ticket(full_ticket());
  bytes[0] = 9;
  const auto decoded = decode_ticket(bytes);
  ASSERT_FALSE(decoded);
  EXPECT_EQ(decoded.error().message, "a ticket of version 9; 1 is understood");
}

TEST_F(HandOffTest, AnEmptyQueueHasNothing) {
  const auto received = hand_off_->receive();
  ASSERT_TRUE(received);
  EXPECT_FALSE(*received);
}

TEST_F(HandOffTest, AConnectionComesOutWithWhatItsClientSentMeanwhile) {
  auto [server, client] = make_pair(SOCK_STREAM);
  ASSERT_TRUE(hand_off_->send(server.get(), full_ticket()));
  server.reset();
  ASSERT_EQ(::send(client.get(), "hello", 5, 0), 5);
  auto received = hand_off_->receive();
  ASSERT_TRUE(received && *received);
  EXPECT_EQ((*received)->ticket.listener.port, 80);
  const int socket = (*received)->socket.get();
  EXPECT_NE(::fcntl(socket, F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_NE(::fcntl(socket, F_GETFL) & O_NONBLOCK, 0);
  char bytes[8];
  EXPECT_EQ(::recv(socket, bytes, sizeof(bytes), 0), 5);
}

TEST_F(HandOffTest, WhatIsNoConnectionIsDroppedAndTheNextOneTaken) {
  auto [server, client] = make_pair(SOCK_STREAM);
  auto [datagrams, other] = make_pair(SOCK_DGRAM);
  const base::UniqueFd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  put("nonsense", server.get());
  put(encode_ticket(full_ticket()), -1);
  put(encode_ticket(full_ticket()), file.get());
  put(encode_ticket(full_ticket()), datagrams.get());
  put(std::string(kMaxTicketBytes + 1, 'x'), server.get());
  ASSERT_TRUE(hand_off_->send(server.get(), full_ticket()));
  const auto received = hand_off_->receive();
  ASSERT_TRUE(received && *received);
  server.reset();
  ASSERT_EQ(::send((*received)->socket.get(), "x", 1, 0), 1);
  char byte = 0;
  EXPECT_EQ(::recv(client.get(), &byte, 1, 0), 1);
}

TEST_F(HandOffTest, AFullQueueRefusesAndLosesNothing) {
  auto [server, client] = make_pair(SOCK_STREAM);
  int sent = 0;
  while (hand_off_->send(server.get(), full_ticket())) ++sent;
  EXPECT_GT(sent, 1);
  for (; sent > 0; --sent) {
    const auto received = hand_off_->receive();
    ASSERT_TRUE(received && *received);
  }
  EXPECT_TRUE(hand_off_->send(server.get(), full_ticket()));
}

TEST_F(HandOffTest, WithoutAFreeDescriptorTheConnectionStaysInTheQueue) {
  auto [server, client] = make_pair(SOCK_STREAM);
  ASSERT_TRUE(hand_off_->send(server.get(), full_ticket()));
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none{STDERR_FILENO + 1, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const auto refused = hand_off_->receive();
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().os_errno, EMFILE);
  const auto received = hand_off_->receive();
  ASSERT_TRUE(received);
  EXPECT_TRUE(*received);
}

TEST_F(HandOffTest, ATicketTooLongForTheQueueIsNotSent) {
  auto [server, client] = make_pair(SOCK_STREAM);
  HandOffTicket ticket = full_ticket();
  ticket.listener.url.assign(kMaxTicketBytes, 'x');
  EXPECT_FALSE(hand_off_->send(server.get(), ticket));
}

}  // namespace
}  // namespace corn::server
