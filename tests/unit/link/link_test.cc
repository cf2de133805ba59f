// SPDX-License-Identifier: Apache-2.0
#include "workerd/link/link.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <thread>
#include <utility>

#include "base/log.h"
#include "workerd/link/signals.h"

namespace corn::link {
namespace {

using base::Channel;
using base::Message;
using base::Milliseconds;
using ::testing::ElementsAre;

constexpr int kPatience = 20000;  // milliseconds until a test gives up waiting

// Collects what the link calls, in order.
class Calls {
 public:
  void add(const std::string& call) {
    const std::lock_guard lock(mutex_);
    calls_.push_back(call);
    changed_.notify_all();
  }
  std::vector<std::string> wait_for(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, Milliseconds(kPatience), [&] { return calls_.size() >= count; });
    return calls_;
  }
  Callbacks callbacks() {
    return {
        .drain =
            [this](Milliseconds grace, bool all) {
              add("drain " + std::to_string(grace.count()) + (all ? " all" : ""));
            },
        .retire = [this](Milliseconds grace) { add("retire " + std::to_string(grace.count())); },
        .end_overdue =
            [this](Milliseconds limit, Milliseconds grace) {
              add("end_overdue " + std::to_string(limit.count()) + " " +
                  std::to_string(grace.count()));
            },
        .quit = [this] { add("quit"); },
        .reopen_logs =
            [this](const OpenFiles& files) {
              std::string names;
              for (const auto& [name, file] : files) names += " " + name;
              add("reopen_logs" + names);
            },
        .dump =
            [this](Milliseconds patience) {
              add("dump" + (patience.count() > 0 ? " " + std::to_string(patience.count()) : ""));
              return base::DumpResult{0, "", {{7, "stack"}}};
            },
        .abort = [this] { add("abort"); },
        .overdue = [this] { add("overdue"); }};
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> calls_;
};

class LinkTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto pair = Channel::make_pair();
    ASSERT_TRUE(pair);
    arbiter_ = std::move(pair->first);
    auto opened = Link::open(pair->second.take());
    ASSERT_TRUE(opened);
    link_ = std::move(*opened);
  }

  void start(Milliseconds orphan_timeout = Milliseconds(0)) {
    ASSERT_TRUE(link_->start(calls_.callbacks(), Milliseconds(7000), orphan_timeout));
  }

  template <typename T>
  T receive() {
    struct pollfd entry = {arbiter_.descriptor(), POLLIN, 0};
    EXPECT_EQ(::poll(&entry, 1, kPatience), 1);
    auto message = arbiter_.receive();
    EXPECT_TRUE(message && *message && std::holds_alternative<T>(**message));
    return message && *message && std::holds_alternative<T>(**message) ? std::get<T>(**message)
                                                                       : T{};
  }

  Calls calls_;
  Channel arbiter_;
  std::unique_ptr<Link> link_;
};

class ConfigurationTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto pair = Channel::make_pair();
    ASSERT_TRUE(pair);
    arbiter_ = std::move(pair->first);
    child_ = std::move(pair->second);
  }

  Channel arbiter_;
  Channel child_;
};

TEST_F(ConfigurationTest, TheFirstMessageConfigures) {
  base::Configure configure;
  configure.config.application = "wsgi:app";
  ASSERT_TRUE(arbiter_.send(configure));
  auto config = receive_configuration(child_);
  ASSERT_TRUE(config);
  EXPECT_EQ(config->application, "wsgi:app");
}

TEST_F(ConfigurationTest, AnotherFirstMessageIsRefused) {
  ASSERT_TRUE(arbiter_.send(base::Ping{1}));
  EXPECT_FALSE(receive_configuration(child_));
}

TEST_F(ConfigurationTest, AnArbiterThatDiedFirstIsNamed) {
  arbiter_ = Channel();
  EXPECT_FALSE(receive_configuration(child_));
}

TEST_F(LinkTest, LogFilesThatCameAreTakenByTheirNames) {
  start();
  const base::UniqueFd file(::memfd_create("log", MFD_CLOEXEC));
  ASSERT_TRUE(arbiter_.send(base::TakeLogs{{"/b", "/a"}}, {file.get(), file.get()}));
  // Nobody knows which of the two this is.
  ASSERT_TRUE(arbiter_.send(base::TakeLogs{{"/b", "/a"}}, {file.get()}));
  EXPECT_THAT(calls_.wait_for(2), ElementsAre("reopen_logs /a /b", "reopen_logs"));
}

TEST_F(LinkTest, MessagesAreObeyedInOrder) {
  start();
  ASSERT_TRUE(arbiter_.send(base::ReopenLogs{}));
  ASSERT_TRUE(arbiter_.send(base::Drain{Milliseconds(5), false}));
  ASSERT_TRUE(arbiter_.send(base::EndOverdue{Milliseconds(7), Milliseconds(8)}));
  ASSERT_TRUE(arbiter_.send(base::Drain{Milliseconds(6), true}));
  EXPECT_THAT(calls_.wait_for(4),
              ElementsAre("reopen_logs", "drain 5", "end_overdue 7 8", "drain 6 all"));
}

TEST_F(LinkTest, PingAndDumpAreAnsweredWithTheirToken) {
  start();
  ASSERT_TRUE(arbiter_.send(base::Ping{41}));
  EXPECT_EQ(receive<base::Pong>().token, 41U);
  ASSERT_TRUE(arbiter_.send(base::Dump{42}));
  const auto result = receive<base::DumpResult>();
  EXPECT_EQ(result.token, 42U);
  ASSERT_EQ(result.threads.size(), 1U);
  EXPECT_EQ(result.threads[0].thread_id, 7U);
  EXPECT_EQ(result.threads[0].python, "stack");
  ASSERT_TRUE(arbiter_.send(base::Dump{43, Milliseconds(9)}));
  EXPECT_EQ(receive<base::DumpResult>().token, 43U);
  EXPECT_THAT(calls_.wait_for(2), ElementsAre("dump", "dump 9"));
}

TEST_F(LinkTest, WhatIsNotUnderstoodIsAnsweredSo) {
  start();
  ASSERT_TRUE(arbiter_.send(base::Ready{}));
  EXPECT_EQ(receive<base::Unsupported>().type, Message(base::Ready{}).index());
  const unsigned char unknown[] = {99, 0, 1, 0};
  ASSERT_EQ(::send(arbiter_.descriptor(), unknown, sizeof unknown, 0), 4);
  EXPECT_EQ(receive<base::Unsupported>().type, 99);
  const unsigned char newer[] = {4, 0, 2, 0, 1, 2, 3};
  ASSERT_EQ(::send(arbiter_.descriptor(), newer, sizeof newer, 0), 7);
  EXPECT_EQ(receive<base::Unsupported>().version, 2);
}

TEST_F(LinkTest, UnsupportedIsNeverAnswered) {
  start();
  ASSERT_TRUE(arbiter_.send(base::Unsupported{5, base::kMessageVersion}));
  const unsigned char newer[] = {13, 0, 2, 0, 1, 0, 2, 0};
  ASSERT_EQ(::send(arbiter_.descriptor(), newer, sizeof newer, 0), 8);
  ASSERT_TRUE(arbiter_.send(base::Ping{1}));
  EXPECT_EQ(receive<base::Pong>().token, 1U);
}

TEST_F(LinkTest, AMalformedMessageIsPassedOver) {
  start();
  const unsigned char cut[] = {1, 0, 1, 0, 5};
  ASSERT_EQ(::send(arbiter_.descriptor(), cut, sizeof cut, 0), 5);
  ASSERT_TRUE(arbiter_.send(base::Ping{1}));
  EXPECT_EQ(receive<base::Pong>().token, 1U);
}

TEST_F(LinkTest, SignalsAreObeyed) {
  start();
  ::kill(::getpid(), SIGUSR1);
  calls_.wait_for(1);
  ::kill(::getpid(), SIGTERM);
  calls_.wait_for(2);
  ::kill(::getpid(), SIGINT);
  calls_.wait_for(3);
  ::kill(::getpid(), SIGQUIT);
  EXPECT_THAT(calls_.wait_for(4), ElementsAre("reopen_logs", "retire 7000", "quit", "quit"));
}

TEST_F(LinkTest, SigtermFromTheParentMeansThatNobodyElseIsLeft) {
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto pair = Channel::make_pair();
    auto opened = Link::open(pair->second.take());
    Calls calls;
    if (!(*opened)->start(calls.callbacks(), Milliseconds(7000), Milliseconds(0))) ::_exit(97);
    [[maybe_unused]] const ssize_t n = ::write(ready[1], "!", 1);
    ::_exit(calls.wait_for(1) == std::vector<std::string>{"drain 7000 all"} ? 0 : 98);
  }
  char word = 0;
  ASSERT_EQ(::read(ready[0], &word, 1), 1);
  ::kill(child, SIGTERM);
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WIFEXITED(status) ? WEXITSTATUS(status) : -1, 0);
}

TEST_F(LinkTest, ASendWhileTheChannelIsFullIsKept) {
  start();
  const std::string text(60000, 'x');
  int sent = 0;
  for (; sent < 20; ++sent)
    ASSERT_TRUE(link_->send(base::DumpResult{static_cast<std::uint64_t>(sent), text, {}}));
  for (int i = 0; i < sent; ++i) {
    EXPECT_EQ(receive<base::DumpResult>().token, static_cast<std::uint64_t>(i));
  }
}

TEST_F(LinkTest, AQueueHasALimit) {
  start();
  const std::string text(60000, 'x');
  base::Status status;
  for (int i = 0; i < 200 && status; ++i) status = link_->send(base::DumpResult{0, text, {}});
  EXPECT_FALSE(status);
}

// Where a next arbiterd would wait for orphans.
class AdoptionTest : public LinkTest {
 protected:
  void SetUp() override {
    LinkTest::SetUp();
    std::string pattern = (std::filesystem::temp_directory_path() / "link-XXXXXX").string();
    directory_ = ::mkdtemp(pattern.data());
    path_ = directory_ + "/adopt";
    ASSERT_EQ(::pipe(pipe_), 0);
    auto estate = Estate::copy(path_, 42, pipe_[0], {pipe_[1]}, {});
    ASSERT_TRUE(estate);
    ASSERT_TRUE(link_->start(calls_.callbacks(), Milliseconds(7000), Milliseconds(60'000),
                             std::move(*estate)));
  }
  void TearDown() override {
    ::close(pipe_[0]);
    ::close(pipe_[1]);
    std::filesystem::remove_all(directory_);
  }

  void listen() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.data(), path_.size());
    listener_.reset(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ASSERT_EQ(::listen(listener_.get(), 10), 0);
  }
  base::Offer accept_offer() {
    arbiter_ = Channel(base::UniqueFd(::accept(listener_.get(), nullptr, nullptr)));
    auto message = arbiter_.receive(descriptors_);
    EXPECT_TRUE(message && *message && std::holds_alternative<base::Offer>(**message));
    return std::get<base::Offer>(**message);
  }

  std::string directory_;
  std::string path_;
  int pipe_[2] = {-1, -1};
  base::UniqueFd listener_;
  std::vector<base::UniqueFd> descriptors_;
};

TEST_F(AdoptionTest, AnOrphanOffersWhatItHasAndServesTheNextArbiter) {
  ASSERT_TRUE(link_->send(base::Ready{}));
  ASSERT_TRUE(link_->send(base::Retiring{"max-requests"}));
  arbiter_ = Channel();
  listen();
  const base::Offer offer = accept_offer();
  EXPECT_EQ(offer.worker_id, 42U);
  EXPECT_TRUE(offer.ready);
  EXPECT_EQ(offer.retiring, "max-requests");
  EXPECT_EQ(offer.listeners, 1U);
  EXPECT_EQ(descriptors_.size(), 2U);
  ASSERT_TRUE(arbiter_.send(base::Ping{5}));
  EXPECT_EQ(receive<base::Pong>().token, 5U);
  EXPECT_FALSE(link_->orphaned());
  ASSERT_TRUE(arbiter_.send(base::Drain{Milliseconds(5), false}));
  EXPECT_THAT(calls_.wait_for(1), ElementsAre("drain 5"));
}

TEST_F(AdoptionTest, WhatHappensWhileNobodyIsThereIsToldToTheNext) {
  arbiter_ = Channel();
  while (!link_->orphaned()) std::this_thread::yield();
  std::ignore = link_->send(base::Ready{});
  listen();
  EXPECT_TRUE(accept_offer().ready);
}

TEST_F(AdoptionTest, AnOfferThatIsNotTakenIsMadeAgain) {
  arbiter_ = Channel();
  listen();
  EXPECT_FALSE(accept_offer().ready);
  arbiter_ = Channel();
  EXPECT_EQ(accept_offer().worker_id, 42U);
  EXPECT_TRUE(link_->orphaned());
}

TEST_F(AdoptionTest, AnotherDeathIsAnotherAdoption) {
  arbiter_ = Channel();
  listen();
  for (int i = 0; i < 3; ++i) {
    accept_offer();
    ASSERT_TRUE(arbiter_.send(base::Ping{1}));
    receive<base::Pong>();
    EXPECT_FALSE(link_->orphaned());
    arbiter_ = Channel();
  }
}

TEST_F(AdoptionTest, AnOrphanThatLeavesIsFoundButHasNoListenersAnyMore) {
  arbiter_ = Channel();
  while (!link_->orphaned()) std::this_thread::yield();
  ::kill(::getpid(), SIGTERM);
  EXPECT_THAT(calls_.wait_for(1), ElementsAre("drain 7000 all"));
  // As the server does when it closes its own.
  EXPECT_THAT(link_->release_listeners(), testing::Not(testing::IsEmpty()));
  listen();
  const base::Offer offer = accept_offer();
  EXPECT_EQ(offer.retiring, "exited");
  EXPECT_EQ(offer.listeners, 0U);
}

TEST_F(AdoptionTest, TheSocketIsFoundThroughADirectoryThatIsHeldOpen) {
  listen();
  auto estate = Estate::copy("/no/way/there/adopt", 7, pipe_[0], {}, {});
  ASSERT_TRUE(estate);
  EXPECT_FALSE(offer(*estate, true, ""));
  estate->directory.reset(::open(directory_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  const auto channel = offer(*estate, true, "");
  ASSERT_TRUE(channel) << channel.error().message;
  EXPECT_EQ(accept_offer().worker_id, 7U);
}

TEST_F(LinkTest, AnOrphanServesOnAndDrainsWhenNobodyComes) {
  start(Milliseconds(50));
  EXPECT_FALSE(link_->orphaned());
  arbiter_ = Channel();
  EXPECT_THAT(calls_.wait_for(1), ElementsAre("drain 7000 all"));
  EXPECT_TRUE(link_->orphaned());
  EXPECT_FALSE(link_->send(base::Ready{}));
  ::kill(::getpid(), SIGTERM);
  EXPECT_EQ(calls_.wait_for(2).size(), 2U);
}

TEST_F(LinkTest, HandlersTakenAwayAreReclaimed) {
  std::signal(SIGTERM, SIG_IGN);
  std::signal(SIGABRT, SIG_IGN);
  EXPECT_EQ(reclaim_signal_handlers(), 1);
  EXPECT_EQ(reclaim_signal_handlers(), 0);
  start();
  ::kill(::getpid(), SIGTERM);
  EXPECT_EQ(calls_.wait_for(1).size(), 1U);
}

// Runs in a child process; gives how that ended.
int status_of_child(const std::function<void()>& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(20);
    body();
    ::_exit(99);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return status;
}

// A link in a process of its own, with these callbacks.
[[noreturn]] void run_link(const Callbacks& callbacks, const std::function<void(Link&)>& then) {
  auto pair = Channel::make_pair();
  auto link = Link::open(pair->second.take());
  if (!(*link)->start(callbacks, Milliseconds(0), Milliseconds(0))) ::_exit(98);
  then(**link);
  for (;;) ::pause();
}

TEST(LinkProcess, AbortSaysItsLastWordsAndDiesOfSigabrt) {
  int words[2];
  ASSERT_EQ(::pipe(words), 0);
  const int status = status_of_child([&] {
    Calls calls;
    Callbacks callbacks = calls.callbacks();
    callbacks.abort = [&] { [[maybe_unused]] auto n = ::write(words[1], "!", 1); };
    run_link(callbacks, [](Link&) { ::kill(::getpid(), SIGABRT); });
  });
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGABRT);
  char word = 0;
  EXPECT_EQ(::read(words[0], &word, 1), 1);
  ::close(words[0]);
  ::close(words[1]);
}

TEST(LinkProcess, ExitByEndsAProcessThatHangs) {
  const int status = status_of_child([] {
    Calls calls;
    run_link(calls.callbacks(), [](Link& link) {
      link.exit_by(Milliseconds(20000), 1);
      link.exit_by(Milliseconds(20), 7);
      link.exit_by(Milliseconds(30000), 2);
    });
  });
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

TEST(LinkProcess, AForkedChildDiesOfItsOwnSignalAndDoesNotTellItsParent) {
  const int status = status_of_child([] {
    Calls calls;
    run_link(calls.callbacks(), [&](Link& link) {
      int forked[2];
      if (::pipe(forked) != 0) ::_exit(97);
      const pid_t child = ::fork();
      if (child == 0) {
        [[maybe_unused]] const ssize_t n = ::write(forked[1], "!", 1);
        for (;;) ::pause();
      }
      char word = 0;
      [[maybe_unused]] const ssize_t n = ::read(forked[0], &word, 1);
      ::kill(child, SIGTERM);
      int ended = 0;
      ::waitpid(child, &ended, 0);
      const bool right = WIFSIGNALED(ended) && WTERMSIG(ended) == SIGTERM;
      link.stop();
      ::_exit(right && calls.wait_for(0).empty() ? 0 : 1);
    });
  });
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(LinkProcess, AProgramStartedByTheApplicationHasDefaultActionsAndAnEmptyMask) {
  const int status = status_of_child([] {
    Calls calls;
    run_link(calls.callbacks(), [](Link&) {
      // None of TERM, INT, QUIT, USR1 and ABRT is blocked or ignored. (The shell itself catches
      // some.)
      const int result = std::system(
          "while read -r name value; do case $name in SigBlk:|SigIgn:) "
          "[ $((0x${value#????????} & 0x4226)) -eq 0 ] || exit 5;; esac; done < /proc/self/status");
      ::_exit(WIFEXITED(result) ? WEXITSTATUS(result) : 9);
    });
  });
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace corn::link
