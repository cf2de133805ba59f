// SPDX-License-Identifier: Apache-2.0
#include "workerd/server/body_store.h"

#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <thread>
#include <utility>

namespace corn::server {
namespace {

class BodyStoreTest : public ::testing::Test {
 protected:
  BodyStoreTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "corn-body-XXXXXX").string();
    directory_ = ::mkdtemp(pattern.data());
    options_ = {1000, 10'000, directory_};
    store_.begin();
  }
  ~BodyStoreTest() override { std::filesystem::remove_all(directory_); }

  // Reads up to `limit` bytes of what is there.
  std::string drain(std::size_t limit = 1'000'000) {
    std::string all;
    std::array<char, 77> piece{};
    while (all.size() < limit) {
      auto read = store_.read(piece.data(), std::min(piece.size(), limit - all.size()));
      if (!read || read->size == 0) break;
      emptied_ = emptied_ || read->emptied_full;
      all.append(piece.data(), read->size);
    }
    return all;
  }
  static std::string pattern(std::size_t size) {
    std::string text(size, '\0');
    for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + i * 7 % 26);
    return text;
  }

  std::string directory_;
  BodyStoreOptions options_;
  BodyStore store_{options_};
  bool emptied_ = false;
};

TEST_F(BodyStoreTest, GivesBackWhatWasAppended) {
  ASSERT_TRUE(store_.append("one "));
  ASSERT_TRUE(store_.append("two"));
  EXPECT_EQ(store_.available(), 7U);
  EXPECT_EQ(drain(), "one two");
}

TEST_F(BodyStoreTest, EndIsReportedOnlyWhenComplete) {
  char byte = 0;
  auto read = store_.read(&byte, 1);
  ASSERT_TRUE(read);
  EXPECT_FALSE(read->end);
  EXPECT_FALSE(store_.readable());
  store_.complete();
  EXPECT_TRUE(store_.readable());
  read = store_.read(&byte, 1);
  ASSERT_TRUE(read);
  EXPECT_TRUE(read->end);
}

TEST_F(BodyStoreTest, WholeBodyIsOnlyReferredTo) {
  const std::string body = "in the input buffer";
  store_.set_whole(body);
  EXPECT_TRUE(store_.is_complete());
  EXPECT_EQ(drain(), body);
}

TEST_F(BodyStoreTest, SpillsBeyondItsMemoryAndLeavesNoName) {
  const std::string body = pattern(5000);
  for (std::size_t i = 0; i < body.size(); i += 500)
    ASSERT_TRUE(store_.append(body.substr(i, 500)));
  store_.complete();
  EXPECT_TRUE(std::filesystem::is_empty(directory_));
  EXPECT_EQ(drain(), body);
}

TEST_F(BodyStoreTest, RoomSparesACopyUpToTheMemoryLimit) {
  const std::span<char> room = store_.room(600);
  ASSERT_EQ(room.size(), 600U);
  std::memcpy(room.data(), "abc", 3);
  store_.commit(3);
  EXPECT_EQ(store_.room(5000).size(), 997U);
  EXPECT_EQ(drain(), "abc");
}

TEST_F(BodyStoreTest, RoomEndsWhereSpillingBegins) {
  ASSERT_TRUE(store_.append(pattern(1000)));
  EXPECT_TRUE(store_.room(1).empty());
}

TEST_F(BodyStoreTest, FullStoreTellsTheReaderThatEmptiesIt) {
  ASSERT_TRUE(store_.append(pattern(9'999)));
  EXPECT_FALSE(store_.full());
  ASSERT_TRUE(store_.append("x"));
  EXPECT_TRUE(store_.full());
  drain(9'999);
  EXPECT_TRUE(store_.full());
  EXPECT_FALSE(emptied_);
  drain();
  EXPECT_FALSE(store_.full());
  EXPECT_TRUE(emptied_);
  ASSERT_TRUE(store_.append("next"));
  EXPECT_EQ(drain(), "next");
}

TEST_F(BodyStoreTest, BrokenBodyNeverEndsInSuccess) {
  ASSERT_TRUE(store_.append("part"));
  store_.break_off({408, "too slow"}, ETIMEDOUT);
  EXPECT_EQ(drain(), "part");
  char byte = 0;
  const auto read = store_.read(&byte, 1);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().os_errno, ETIMEDOUT);
  ASSERT_TRUE(store_.problem());
  EXPECT_EQ(store_.problem()->status, 408);
}

TEST_F(BodyStoreTest, CompleteBodyCannotBreakAnyMore) {
  store_.complete();
  store_.break_off({400, "late"}, EPIPE);
  char byte = 0;
  EXPECT_TRUE(store_.read(&byte, 1));
  EXPECT_FALSE(store_.problem());
}

TEST_F(BodyStoreTest, ResetForgetsEverything) {
  ASSERT_TRUE(store_.append(pattern(3000)));
  store_.complete();
  store_.reset();
  EXPECT_TRUE(store_.is_complete());
  EXPECT_EQ(store_.available(), 0U);
}

TEST_F(BodyStoreTest, UnwritableDirectoryIsNamed) {
  options_.directory = directory_ + "/missing";
  const auto stored = store_.append(pattern(2000));
  ASSERT_FALSE(stored);
  EXPECT_NE(stored.error().message.find(options_.directory), std::string::npos);
}

class PlainWaiter : public Waiter {
 public:
  void before_wait() override {}
  void after_wait() override {}
};

TEST_F(BodyStoreTest, WaitEndsWhenBytesCome) {
  std::thread writer([this] { ASSERT_TRUE(store_.append("late")); });
  PlainWaiter waiter;
  EXPECT_TRUE(store_.wait(waiter));
  EXPECT_EQ(drain(), "late");
  writer.join();
}

// Waits without a thread's help, as greenlets do: what is waited for comes while it is inside.
class PluggedWaiter final : public PlainWaiter {
 public:
  explicit PluggedWaiter(std::function<bool(int)> turn) : turn_(std::move(turn)) {}
  bool wait(std::unique_lock<std::mutex>& lock, std::condition_variable& /*changed*/,
            std::optional<base::TimePoint> /*end*/) override {
    lock.unlock();
    const bool kept = turn_(++waits_);
    lock.lock();
    return kept;
  }
  [[nodiscard]] int waits() const { return waits_; }

 private:
  std::function<bool(int)> turn_;
  int waits_ = 0;
};

TEST_F(BodyStoreTest, PluggedWaitGoesOnUntilThereIsSomethingToRead) {
  PluggedWaiter waiter([this](int wait) { return wait < 3 || store_.append("late").has_value(); });
  EXPECT_TRUE(store_.wait(waiter));
  EXPECT_EQ(waiter.waits(), 3);
  EXPECT_EQ(drain(), "late");
}

TEST_F(BodyStoreTest, WaitThatIsBrokenOffLeavesTheBodyAsItIs) {
  PluggedWaiter waiter([](int) { return false; });
  EXPECT_FALSE(store_.wait(waiter));
  EXPECT_FALSE(store_.readable());
  ASSERT_TRUE(store_.append("later"));
  EXPECT_EQ(drain(), "later");
}

}  // namespace
}  // namespace corn::server
