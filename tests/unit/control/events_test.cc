// SPDX-License-Identifier: Apache-2.0
#include <csignal>
#include <future>
#include <string>
#include <vector>

#include "server_fixture.h"

namespace corn::control {
namespace {

core::Record record(const std::string& text, const std::string& pool = "default") {
  core::Record result;
  result.kind = core::RecordKind::kScaled;
  result.pool = pool;
  result.text = text;
  return result;
}

class EventsTest : public ServerTest {
 protected:
  void publish(int count, driver::WallTime time = std::chrono::system_clock::now(),
               std::size_t size = 0) {
    door_.run([&] {
      for (int i = 0; i < count; ++i) door_.publish(record(std::string(size, 'x')), time);
    });
  }

  std::unique_ptr<grpc::ClientReader<api::Event>> watch(const api::WatchEventsRequest& request) {
    limit(context_);
    return arbiter_->WatchEvents(&context_, request);
  }

  // All sequence numbers of a stream that ends by itself.
  std::vector<std::uint64_t> read_all(grpc::ClientReader<api::Event>& reader) {
    std::vector<std::uint64_t> sequences;
    api::Event event;
    while (reader.Read(&event)) sequences.push_back(event.sequence());
    return sequences;
  }

  // Returns when nobody is subscribed any more.
  void wait_until_unsubscribed() {
    std::size_t subscribers = 1;
    while (subscribers != 0) door_.run([&] { subscribers = door_.subscribers(); });
  }

  grpc::ClientContext context_;
};

TEST_F(EventsTest, HistoryEndsWithoutFollow) {
  publish(3);
  const auto reader = watch({});
  EXPECT_EQ(read_all(*reader), (std::vector<std::uint64_t>{1, 2, 3}));
  EXPECT_TRUE(reader->Finish().ok());
}

TEST_F(EventsTest, ResumesAfterASequenceNumber) {
  publish(5);
  api::WatchEventsRequest request;
  request.set_after_sequence(3);
  const auto reader = watch(request);
  EXPECT_EQ(read_all(*reader), (std::vector<std::uint64_t>{4, 5}));
}

TEST_F(EventsTest, FollowsLiveUntilCancelled) {
  publish(1);
  api::WatchEventsRequest request;
  request.set_follow(true);
  const auto reader = watch(request);
  api::Event event;
  ASSERT_TRUE(reader->Read(&event));
  publish(1);
  ASSERT_TRUE(reader->Read(&event));
  EXPECT_EQ(event.sequence(), 2u);
  context_.TryCancel();
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
  wait_until_unsubscribed();
}

TEST_F(EventsTest, PagesByLimit) {
  publish(5);
  api::WatchEventsRequest request;
  request.set_limit(2);
  request.set_follow(true);
  const auto reader = watch(request);
  EXPECT_EQ(read_all(*reader), (std::vector<std::uint64_t>{1, 2}));
  EXPECT_TRUE(reader->Finish().ok());
  wait_until_unsubscribed();
}

TEST_F(EventsTest, OfOnePoolLeaveTheOthersOutButNotTheInstances) {
  door_.run([this] {
    door_.publish(record("a", "web"));
    door_.publish(record("b", "admin"));
    door_.publish(record("c", ""));
  });
  api::WatchEventsRequest request;
  request.set_pool("web");
  const auto reader = watch(request);
  EXPECT_EQ(read_all(*reader), (std::vector<std::uint64_t>{1, 3}));
}

TEST_F(EventsTest, ThatAreNoLongerKeptAreOutOfRange) {
  publish(10);
  door_.run([this] { door_.compact(6); });
  api::WatchEventsRequest request;
  request.set_after_sequence(2);
  const auto reader = watch(request);
  EXPECT_TRUE(read_all(*reader).empty());
  const grpc::Status status = reader->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::OUT_OF_RANGE);
  EXPECT_EQ(status.error_message(), "events after 2 are no longer kept; the oldest is 7");
  EXPECT_EQ(reason(context_), "COMPACTED");
}

TEST_F(EventsTest, SayHowAWorkerEnded) {
  door_.run([this] {
    core::Record crashed = record("killed by signal SEGV");
    crashed.kind = core::RecordKind::kWorkerExited;
    crashed.worker = core::WorkerId{9};
    crashed.pid = 4711;
    crashed.generation = 2;
    crashed.cause = core::Cause::kCrashed;
    crashed.exit =
        core::ExitStatus{.known = true, .code = 0, .signal = SIGSEGV, .core_dumped = true};
    crashed.exit->cpu_time = std::chrono::milliseconds(1500);
    crashed.exit->max_rss_bytes = 45 << 20;
    crashed.exit->request = "GET /x";
    crashed.exit->in_request = true;
    door_.publish(crashed);
    core::Record recycled = crashed;
    recycled.cause = core::Cause::kMaxRequests;
    recycled.exit = core::ExitStatus{};
    door_.publish(recycled);
    core::Record lost = crashed;
    lost.cause = core::Cause::kLost;
    lost.exit = core::ExitStatus{.known = false};
    door_.publish(lost);
  });
  const auto reader = watch({});
  api::Event event;
  ASSERT_TRUE(reader->Read(&event));
  EXPECT_EQ(event.kind(), api::Event::WORKER_EXITED);
  EXPECT_EQ(event.worker_id(), 9u);
  EXPECT_EQ(event.pid(), 4711);
  EXPECT_EQ(event.cause(), "crashed(SEGV)");
  EXPECT_EQ(event.exit().signal(), "SEGV");
  EXPECT_TRUE(event.exit().core_dumped());
  EXPECT_DOUBLE_EQ(event.exit().cpu_seconds(), 1.5);
  EXPECT_EQ(event.exit().max_rss_bytes(), 45u << 20);
  EXPECT_EQ(event.request(), "GET /x");
  EXPECT_TRUE(event.in_request());
  ASSERT_TRUE(reader->Read(&event));
  EXPECT_EQ(event.cause(), "max-requests");
  EXPECT_TRUE(event.has_exit());
  EXPECT_EQ(event.exit().signal(), "");
  ASSERT_TRUE(reader->Read(&event));
  EXPECT_EQ(event.cause(), "lost");
  EXPECT_FALSE(event.has_exit());
}

TEST_F(EventsTest, LongHistoryArrivesWholeInSeveralDraughts) {
  constexpr int kEvents = 5000;
  publish(kEvents, std::chrono::system_clock::now() - std::chrono::hours(1));
  const auto reader = watch({});
  const std::vector<std::uint64_t> sequences = read_all(*reader);
  EXPECT_TRUE(reader->Finish().ok());
  ASSERT_EQ(sequences.size(), std::size_t{kEvents});
  for (std::size_t i = 0; i < sequences.size(); ++i) ASSERT_EQ(sequences[i], i + 1);
}

TEST_F(EventsTest, SlowSubscriberIsCutOffAndToldWhereToResume) {
  api::WatchEventsRequest request;
  request.set_follow(true);
  const auto reader = watch(request);
  std::size_t subscribers = 0;
  while (subscribers == 0) door_.run([&] { subscribers = door_.subscribers(); });
  // Far more than the transport takes without being read.
  publish(4000, std::chrono::system_clock::now() + std::chrono::hours(1), 4096);
  wait_until_unsubscribed();
  const std::vector<std::uint64_t> sequences = read_all(*reader);
  const grpc::Status status = reader->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(reason(context_), "SLOW_SUBSCRIBER");
  ASSERT_FALSE(sequences.empty());
  EXPECT_LT(sequences.size(), 4000u);
  EXPECT_TRUE(status.error_message().ends_with(" " + std::to_string(sequences.back())))
      << status.error_message();
}

TEST_F(EventsTest, SlowReaderOfHistoryIsToldWhenItIsGone) {
  const auto hour_ago = std::chrono::system_clock::now() - std::chrono::hours(1);
  publish(2000, hour_ago, 4096);
  api::WatchEventsRequest request;
  request.set_follow(true);
  const auto reader = watch(request);
  std::size_t made = 0;
  while (made == 0) door_.run([&] { made = door_.subscriptions_made; });
  door_.run([this] { door_.compact(1999); });
  const std::vector<std::uint64_t> sequences = read_all(*reader);
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::OUT_OF_RANGE);
  ASSERT_FALSE(sequences.empty());
  EXPECT_LT(sequences.back(), 1999u);
}

TEST_F(EventsTest, EndUnavailableWhenTheArbiterStops) {
  api::WatchEventsRequest request;
  request.set_follow(true);
  const auto reader = watch(request);
  std::size_t subscribers = 0;
  while (subscribers == 0) door_.run([&] { subscribers = door_.subscribers(); });
  door_.run([this] { door_.end_subscriptions(); });
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(reason(context_), "STOPPING");
}

TEST_F(EventsTest, ManySubscribersAllGetEverything) {
  constexpr int kSubscribers = 20;
  constexpr int kEvents = 200;
  std::vector<std::future<bool>> subscribers;
  for (int i = 0; i < kSubscribers; ++i) {
    subscribers.push_back(std::async(std::launch::async, [this] {
      const auto arbiter = api::Arbiter::NewStub(new_channel());
      grpc::ClientContext context;
      limit(context);
      api::WatchEventsRequest request;
      request.set_follow(true);
      request.set_limit(kEvents);
      const auto reader = arbiter->WatchEvents(&context, request);
      api::Event event;
      for (std::uint64_t expected = 1; reader->Read(&event); ++expected) {
        if (event.sequence() != expected) return false;
      }
      return event.sequence() == kEvents && reader->Finish().ok();
    }));
  }
  for (int i = 0; i < kEvents; ++i) publish(1);
  for (std::future<bool>& subscriber : subscribers) EXPECT_TRUE(subscriber.get());
}

}  // namespace
}  // namespace corn::control
