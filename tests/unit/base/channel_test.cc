// SPDX-License-Identifier: Apache-2.0
#include "base/channel.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

namespace corn::base {
namespace {

class ChannelTest : public testing::Test {
 protected:
  void SetUp() override {
    auto pair = Channel::make_pair();
    ASSERT_TRUE(pair);
    arbiter = std::move(pair->first);
    worker = std::move(pair->second);
  }
  Channel arbiter;
  Channel worker;
};

TEST_F(ChannelTest, MessagesArriveWholeAndInOrder) {
  ASSERT_TRUE(worker.send(Hello{42, "1.0"}));
  ASSERT_TRUE(worker.send(Ready{}));
  const auto first = arbiter.receive();
  ASSERT_TRUE(first && *first);
  EXPECT_EQ(std::get<Hello>(**first).pid, 42);
  const auto second = arbiter.receive();
  ASSERT_TRUE(second && *second);
  EXPECT_TRUE(std::holds_alternative<Ready>(**second));
}

TEST_F(ChannelTest, ArbitersEndNeverBlocks) {
  const auto nothing = arbiter.receive();
  ASSERT_TRUE(nothing);
  EXPECT_FALSE(nothing->has_value());
}

TEST_F(ChannelTest, EndedPeerIsToldByErrnoOnBothWays) {
  worker = Channel();
  const auto received = arbiter.receive();
  ASSERT_FALSE(received);
  EXPECT_EQ(received.error().os_errno, EPIPE);
  const auto sent = arbiter.send(ReopenLogs{});
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().os_errno, EPIPE);
}

TEST_F(ChannelTest, MessageSentBeforeThePeerEndedIsStillReceived) {
  ASSERT_TRUE(worker.send(BootFailed{BootFailure::kApplication, "no module"}));
  worker = Channel();
  const auto message = arbiter.receive();
  ASSERT_TRUE(message && *message);
  EXPECT_EQ(std::get<BootFailed>(**message).text, "no module");
  EXPECT_FALSE(arbiter.receive());
}

TEST_F(ChannelTest, FullSocketIsAnErrorNotAWait) {
  Status status;
  int sent = 0;
  while ((status = arbiter.send(Ping{1})) && sent < 1000000) ++sent;
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().os_errno, EAGAIN);
}

TEST_F(ChannelTest, MalformedDatagramIsReportedAndTheChannelGoesOn) {
  ASSERT_EQ(::send(worker.descriptor(), "x", 1, 0), 1);
  ASSERT_TRUE(worker.send(Ready{}));
  const auto bad = arbiter.receive();
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().os_errno, EBADMSG);
  EXPECT_TRUE(arbiter.receive());
}

TEST_F(ChannelTest, DescriptorsComeWithTheirMessageAndCloseOnExec) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const UniqueFd reading(ends[0]);
  UniqueFd writing(ends[1]);
  ASSERT_TRUE(worker.send(Offer{7, true, "", 1}, {writing.get()}));
  writing.reset();
  std::vector<UniqueFd> descriptors;
  auto message = arbiter.receive(descriptors);
  ASSERT_TRUE(message && *message);
  EXPECT_EQ(std::get<Offer>(**message).worker_id, 7U);
  ASSERT_EQ(descriptors.size(), 1U);
  EXPECT_EQ(::fcntl(descriptors[0].get(), F_GETFD), FD_CLOEXEC);
  ASSERT_EQ(::write(descriptors[0].get(), "x", 1), 1);
  char byte = 0;
  EXPECT_EQ(::read(reading.get(), &byte, 1), 1);
}

TEST_F(ChannelTest, DescriptorsThatNobodyAskedForAreClosed) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const UniqueFd reading(ends[0]);
  UniqueFd writing(ends[1]);
  ASSERT_TRUE(worker.send(Ping{1}, {writing.get()}));
  writing.reset();
  ASSERT_TRUE(arbiter.receive());
  char byte = 0;
  EXPECT_EQ(::read(reading.get(), &byte, 1), 0) << "somebody still holds the pipe's other end";
}

TEST_F(ChannelTest, TooManyDescriptorsAreRefused) {
  EXPECT_FALSE(worker.send(Ping{1}, std::vector<int>(254, 0)));
}

}  // namespace
}  // namespace corn::base
