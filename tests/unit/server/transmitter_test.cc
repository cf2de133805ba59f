// SPDX-License-Identifier: Apache-2.0
#include "workerd/server/transmitter.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <stop_token>
#include <string>
#include <thread>

#include "base/unique_fd.h"

namespace corn::server {
namespace {

using std::chrono::milliseconds;

class NotedWaits final : public Waiter {
 public:
  void before_wait() override { ++waits; }
  void after_wait() override { ++ends; }
  std::atomic<int> waits{0};
  int ends = 0;
};

// Bytes in which nothing can be missing or out of place unnoticed.
std::string numbers(std::size_t size) {
  std::string text;
  text.reserve(size + 16);
  for (std::size_t i = 0; text.size() < size; ++i) text += std::to_string(i) + ',';
  text.resize(size);
  return text;
}

// Waits without another thread, as greenlets do: what is waited for comes while it is inside.
class PluggedWaits final : public Waiter {
 public:
  explicit PluggedWaits(std::function<bool()> turn) : turn_(std::move(turn)) {}
  void before_wait() override {}
  void after_wait() override {}
  bool wait(std::unique_lock<std::mutex>& lock, std::condition_variable& /*changed*/,
            std::optional<base::TimePoint> /*end*/) override {
    lock.unlock();
    const bool kept = turn_();
    lock.lock();
    return kept;
  }

 private:
  std::function<bool()> turn_;
};

class TransmitterTest : public ::testing::Test {
 protected:
  TransmitterTest() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    ours_.reset(ends[0]);
    peer_.reset(ends[1]);
    ::fcntl(ours_.get(), F_SETFL, O_NONBLOCK);
  }

  // Stands in for the loop: flushes whenever the socket is writable.
  std::jthread loop(Transmitter& transmitter) {
    return std::jthread([this, &transmitter](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        pollfd item{ours_.get(), POLLOUT, 0};
        ::poll(&item, 1, 5);
        if ((item.revents & POLLOUT) != 0 && transmitter.wants_flush()) transmitter.flush();
      }
    });
  }
  std::string receive(std::size_t size) {
    std::string all(size, '\0');
    std::size_t got = 0;
    while (got < size) {
      const ssize_t n = ::recv(peer_.get(), all.data() + got, size - got, 0);
      if (n <= 0) break;
      got += static_cast<std::size_t>(n);
    }
    all.resize(got);
    return all;
  }

  base::UniqueFd ours_;
  base::UniqueFd peer_;
  NotedWaits waiter_;
};

TEST_F(TransmitterTest, PartsLeaveInOrderAsOnePiece) {
  Transmitter transmitter(ours_.get(), milliseconds(0));
  ASSERT_TRUE(transmitter.send("one ", "two ", "three", waiter_));
  EXPECT_EQ(receive(13), "one two three");
  EXPECT_FALSE(transmitter.wants_flush());
  EXPECT_EQ(transmitter.take_sent(), 13U);
  EXPECT_EQ(transmitter.take_sent(), 0U);
}

TEST_F(TransmitterTest, QueuesWhatTheSocketDoesNotTakeWithoutWaiting) {
  Transmitter transmitter(ours_.get(), milliseconds(0));
  const std::string body(700'000, 'x');
  ASSERT_TRUE(transmitter.send("head", body, "tail", waiter_));
  EXPECT_TRUE(transmitter.wants_flush());
  EXPECT_TRUE(transmitter.may_wait());
  EXPECT_EQ(waiter_.waits, 0);
  const std::jthread flusher = loop(transmitter);
  EXPECT_EQ(receive(body.size() + 8), "head" + body + "tail");
}

TEST_F(TransmitterTest, WaitsForTheClientBeyondTheLimit) {
  Transmitter transmitter(ours_.get(), milliseconds(0));
  const std::jthread flusher = loop(transmitter);
  const std::string body(5'000'000, 'y');
  std::thread sender([&] { EXPECT_TRUE(transmitter.send("head", body, "tail", waiter_)); });
  while (waiter_.waits == 0) std::this_thread::yield();
  EXPECT_EQ(receive(body.size() + 8), "head" + body + "tail");
  sender.join();
  EXPECT_EQ(waiter_.waits, waiter_.ends);
}

TEST_F(TransmitterTest, WhatMemoryDoesNotTakeGoesToAFileWithoutWaiting) {
  Transmitter transmitter(ours_.get(), milliseconds(0), "/tmp");
  const std::string body = numbers(5'000'000);
  ASSERT_TRUE(transmitter.send("head", body, "tail", waiter_));
  ASSERT_TRUE(transmitter.send("more", {}, {}, waiter_));
  EXPECT_EQ(waiter_.waits, 0);
  EXPECT_TRUE(transmitter.may_wait());
  const std::jthread flusher = loop(transmitter);
  EXPECT_TRUE(receive(body.size() + 12) == "head" + body + "tail" + "more");
  while (transmitter.may_wait()) std::this_thread::yield();
  EXPECT_EQ(transmitter.take_sent(), body.size() + 12);
  ASSERT_TRUE(transmitter.send("next", {}, {}, waiter_));
  EXPECT_EQ(receive(4), "next");
}

TEST_F(TransmitterTest, BytesKeepTheirOrderWhileTheClientTakesThem) {
  Transmitter transmitter(ours_.get(), milliseconds(0), "/tmp");
  const std::jthread flusher = loop(transmitter);
  const std::string body = numbers(30'000'000);
  std::thread sender([&] {
    for (std::size_t begin = 0; begin < body.size(); begin += 77'777) {
      EXPECT_TRUE(transmitter.send(body.substr(begin, 77'777), {}, {}, waiter_));
    }
  });
  EXPECT_TRUE(receive(body.size()) == body);
  sender.join();
  EXPECT_EQ(waiter_.waits, 0);
}

TEST_F(TransmitterTest, WaitsForTheClientWhenTheFileHasItsMostBytes) {
  Transmitter transmitter(ours_.get(), milliseconds(0), "/tmp");
  const std::jthread flusher = loop(transmitter);
  const std::string body = numbers(OverflowFile::kMostBytes * 2);
  std::thread sender([&] { EXPECT_TRUE(transmitter.send(body, {}, {}, waiter_)); });
  while (waiter_.waits == 0) std::this_thread::yield();
  EXPECT_TRUE(receive(body.size()) == body);
  sender.join();
}

TEST_F(TransmitterTest, WithoutAFileTheClientIsWaitedFor) {
  Transmitter transmitter(ours_.get(), milliseconds(0), "/nowhere");
  const std::jthread flusher = loop(transmitter);
  const std::string body = numbers(5'000'000);
  std::thread sender([&] { EXPECT_TRUE(transmitter.send(body, {}, {}, waiter_)); });
  while (waiter_.waits == 0) std::this_thread::yield();
  EXPECT_TRUE(receive(body.size()) == body);
  sender.join();
}

TEST_F(TransmitterTest, AFileThatIsSentIsTakenToo) {
  Transmitter transmitter(ours_.get(), milliseconds(0), "/tmp");
  const base::UniqueFd file(::memfd_create("file", MFD_CLOEXEC));
  const std::string content = numbers(4'000'000);
  ASSERT_EQ(::pwrite(file.get(), content.data(), content.size(), 0),
            static_cast<ssize_t>(content.size()));
  ASSERT_TRUE(transmitter.send("head", {}, {}, waiter_));
  ASSERT_TRUE(transmitter.send_file(file.get(), 10, content.size() - 10, waiter_));
  ASSERT_TRUE(transmitter.send("tail", {}, {}, waiter_));
  EXPECT_EQ(waiter_.waits, 0);
  ASSERT_EQ(::ftruncate(file.get(), 0), 0);  // it is the application's again
  const std::jthread flusher = loop(transmitter);
  EXPECT_TRUE(receive(content.size() - 2) == "head" + content.substr(10) + "tail");
}

TEST_F(TransmitterTest, BreakingOffEndsWritingToTheFile) {
  Transmitter transmitter(ours_.get(), milliseconds(0), "/tmp");
  const std::string body = numbers(OverflowFile::kMostBytes * 2);
  std::thread sender([&] { EXPECT_FALSE(transmitter.send(body, {}, {}, waiter_)); });
  while (!transmitter.may_wait()) std::this_thread::yield();
  transmitter.break_off();
  sender.join();
  EXPECT_FALSE(transmitter.wants_flush());
}

TEST_F(TransmitterTest, WaitsOnOneThreadWhereTheWaitIsPlugged) {
  Transmitter transmitter(ours_.get(), milliseconds(0));
  const std::string body(5'000'000, 'y');
  std::string received;
  PluggedWaits waiter([&] {
    received += receive(100'000);
    transmitter.flush();
    return true;
  });
  ASSERT_TRUE(transmitter.send("head", body, "tail", waiter));
  while (transmitter.wants_flush()) {
    received += receive(100'000);
    transmitter.flush();
  }
  received += receive(body.size() + 8 - received.size());
  EXPECT_TRUE(received == "head" + body + "tail");
}

TEST_F(TransmitterTest, WaitThatIsBrokenOffBreaksTheConnectionOff) {
  Transmitter transmitter(ours_.get(), milliseconds(0));
  const std::string body(5'000'000, 'y');
  PluggedWaits waiter([] { return false; });
  EXPECT_FALSE(transmitter.send(body, {}, {}, waiter));
  EXPECT_TRUE(transmitter.broken());
  EXPECT_FALSE(transmitter.send("rest", {}, {}, waiter));
}

TEST_F(TransmitterTest, ClientThatTakesNothingIsGivenUp) {
  Transmitter transmitter(ours_.get(), milliseconds(50));
  const std::string body(5'000'000, 'y');
  const auto sent = transmitter.send(body, {}, {}, waiter_);
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().os_errno, EPIPE);
  EXPECT_TRUE(transmitter.broken());
}

TEST_F(TransmitterTest, ClientThatHasGoneFailsTheSender) {
  Transmitter transmitter(ours_.get(), milliseconds(0));
  peer_.reset();
  EXPECT_FALSE(transmitter.send("bytes", {}, {}, waiter_));
  EXPECT_FALSE(transmitter.send("more", {}, {}, waiter_));
}

TEST_F(TransmitterTest, BreakingOffWakesAWaitingSender) {
  Transmitter transmitter(ours_.get(), milliseconds(0));
  const std::string body(5'000'000, 'y');
  std::thread sender([&] { EXPECT_FALSE(transmitter.send(body, {}, {}, waiter_)); });
  while (waiter_.waits == 0) std::this_thread::yield();
  transmitter.break_off();
  sender.join();
}

TEST_F(TransmitterTest, SendsAFileLargerThanEveryBuffer) {
  Transmitter transmitter(ours_.get(), milliseconds(0));
  const std::jthread flusher = loop(transmitter);
  const base::UniqueFd file(::memfd_create("file", MFD_CLOEXEC));
  std::string content(4'000'000, '\0');
  for (std::size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i * 31 % 251);
  ASSERT_EQ(::pwrite(file.get(), content.data(), content.size(), 0),
            static_cast<ssize_t>(content.size()));
  std::thread sender([&] {
    EXPECT_TRUE(transmitter.send("head", {}, {}, waiter_));
    EXPECT_TRUE(transmitter.send_file(file.get(), 10, content.size() - 10, waiter_));
    EXPECT_TRUE(transmitter.send("tail", {}, {}, waiter_));
  });
  EXPECT_TRUE(receive(content.size() - 2) == "head" + content.substr(10) + "tail");
  sender.join();
}

TEST_F(TransmitterTest, FileShorterThanAnnouncedIsAnError) {
  Transmitter transmitter(ours_.get(), milliseconds(0));
  const base::UniqueFd file(::memfd_create("file", MFD_CLOEXEC));
  ASSERT_EQ(::pwrite(file.get(), "abc", 3, 0), 3);
  const auto sent = transmitter.send_file(file.get(), 0, 10, waiter_);
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().os_errno, EIO);
}

TEST_F(TransmitterTest, CutOffReplacesAResponseThatHasNotBegun) {
  Transmitter transmitter(ours_.get(), milliseconds(0));
  transmitter.begin_response();
  transmitter.send_now("100");
  EXPECT_TRUE(transmitter.cut_off("504"));
  EXPECT_FALSE(transmitter.send("200", {}, {}, waiter_));
  EXPECT_EQ(receive(6), "100504");
}

TEST_F(TransmitterTest, CutOffLeavesABegunResponseWithoutAnEnd) {
  Transmitter transmitter(ours_.get(), milliseconds(0));
  transmitter.begin_response();
  ASSERT_TRUE(transmitter.send("200", {}, {}, waiter_));
  EXPECT_FALSE(transmitter.cut_off("504"));
  EXPECT_FALSE(transmitter.send("rest", {}, {}, waiter_));
  EXPECT_EQ(receive(3), "200");
}

}  // namespace
}  // namespace corn::server
