// SPDX-License-Identifier: Apache-2.0
// Request bodies: when a request enters, what the application reads, what becomes of the rest.
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/unit/server/harness.h"

namespace corn::server::testing {
namespace {

std::string post(std::string_view path, std::size_t length, std::string_view more = "") {
  return "POST " + std::string(path) + " HTTP/1.1\r\nHost: test\r\n" + std::string(more) +
         "Content-Length: " + std::to_string(length) + "\r\n\r\n";
}

class BodiesTest : public ::testing::TestWithParam<base::WorkerClass> {
 protected:
  base::WorkerConfig config_ = test_config(GetParam());
};

INSTANTIATE_TEST_SUITE_P(Classes, BodiesTest, kBothClasses, class_name);

TEST_P(BodiesTest, EchoesBodiesOfEverySize) {
  TestServer server(config_);
  Client client(server.port());
  for (const std::size_t size :
       {0U, 1U, 999U, 16384U, 70'000U, 1'048'576U, 1'048'577U, 3'000'000U}) {
    std::string body(size, '\0');
    for (std::size_t i = 0; i < size; ++i) body[i] = static_cast<char>(i % 251);
    ASSERT_TRUE(client.send(post("/echo", size) + body));
    ASSERT_TRUE(client.read_response().body == body) << size;
  }
}

TEST_P(BodiesTest, ChunkedBodyBeyondMemorySpillsAndIsWhole) {
  config_.body_memory = 10'000;
  TestServer server(config_);
  Client client(server.port());
  std::string request = "POST /sum HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 300; ++i) request += "400\r\n" + std::string(1024, 'c') + "\r\n";
  client.send(request + "0\r\n\r\n" + get_request("/hello"));
  EXPECT_EQ(client.read_response().body, std::to_string(300 * 1024));
  EXPECT_EQ(client.read_response().status, 200);
  EXPECT_TRUE(std::filesystem::is_empty(server.directory()));
}

TEST_P(BodiesTest, BodyBeyondTheSpillLimitPassesThrough) {
  config_.body_memory = 10'000;  // 640,000 bytes held at once
  TestServer server(config_);
  Client client(server.port());
  constexpr std::size_t kSize = 8'000'000;
  std::thread sender([&] { client.send(post("/sum", kSize) + std::string(kSize, 'x')); });
  EXPECT_EQ(client.read_response().body, std::to_string(kSize));
  sender.join();
  EXPECT_EQ(client.get("/hello").status, 200);
}

TEST_P(BodiesTest, UnfinishedBodyEntersAfterHalfASecond) {
  TestServer server(config_);
  Client client(server.port());
  const auto start = std::chrono::steady_clock::now();
  client.send(post("/half", 1000) + std::string(500, 'x'));
  EXPECT_EQ(client.read_response().status, 200);
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(490));
}

TEST_P(BodiesTest, ApplicationReadsWhatArrivesWhileItWaits) {
  TestServer server(config_);
  Client client(server.port());
  client.send(post("/echo", 11));
  ASSERT_TRUE(eventually([&] { return server.application().handled == 1; }));
  client.send("hello ");
  client.send("world");
  EXPECT_EQ(client.read_response().body, "hello world");
  EXPECT_EQ(client.get("/hello").status, 200);
}

TEST_P(BodiesTest, ContinueIsSentAtTheFirstReadAndNotBefore) {
  TestServer server(config_);
  Client client(server.port());
  client.send(post("/echo", 5, "Expect: 100-continue\r\n"));
  EXPECT_EQ(client.read_response().status, 100);
  client.send("hello");
  EXPECT_EQ(client.read_response().body, "hello");
  EXPECT_EQ(client.get("/hello").status, 200);
}

TEST_P(BodiesTest, ApplicationThatReadsNothingSendsNoContinueAndCloses) {
  TestServer server(config_);
  Client client(server.port());
  client.send(post("/ignore", 5, "Expect: 100-continue\r\n"));
  const Response response = client.read_response();
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.field("Connection"), "close");
  EXPECT_TRUE(client.closed_by_peer());
}

TEST_P(BodiesTest, NoContinueForABodyThatIsHereAlready) {
  TestServer server(config_);
  Client client(server.port());
  client.send(post("/echo", 5, "Expect: 100-continue\r\n") + "hello");
  EXPECT_EQ(client.read_response().status, 200);
}

TEST_P(BodiesTest, UnreadBodyIsTakenInToKeepTheConnection) {
  TestServer server(config_);
  Client client(server.port());
  client.send(post("/half", 100'000) + std::string(100'000, 'x') + get_request("/hello"));
  EXPECT_EQ(client.read_response().status, 200);
  EXPECT_EQ(client.read_response().status, 200);
}

TEST_P(BodiesTest, UnreadRestThatArrivesAfterTheAnswerIsDropped) {
  TestServer server(config_);
  Client client(server.port());
  client.send(post("/half", 1000) + std::string(500, 'x'));
  EXPECT_EQ(client.read_response().status, 200);
  client.send(std::string(500, 'y') + get_request("/hello"));
  EXPECT_EQ(client.read_response().body, "Hello, World!\n");
}

TEST_P(BodiesTest, LargeUnreadRestEndsTheConnectionWithoutDestroyingTheAnswer) {
  TestServer server(config_);
  Client client(server.port());
  client.send(post("/half", 100'000'000) + std::string(1000, 'x'));
  ASSERT_TRUE(eventually([&] { return server.application().handled == 1; }));
  client.send(std::string(200'000, 'y'));
  EXPECT_EQ(client.read_response().body, "Hello, World!\n");
  EXPECT_TRUE(client.closed_by_peer());
  EXPECT_FALSE(client.reset());
}

TEST_P(BodiesTest, BrokenChunksAreRefusedBeforeTheApplication) {
  TestServer server(config_);
  Client client(server.port());
  client.send("POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n");
  EXPECT_EQ(client.read_response().status, 400);
  EXPECT_EQ(server.application().handled, 0);
}

TEST_P(BodiesTest, BodyThatBreaksInsideFailsTheRead) {
  TestServer server(config_);
  Client client(server.port());
  client.send(
      "POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
  ASSERT_TRUE(eventually([&] { return server.application().handled == 1; }));
  client.send("xyz\r\n");
  EXPECT_EQ(client.read_response().status, 500);
  EXPECT_EQ(server.application().broken_bodies, 1);
}

TEST_P(BodiesTest, ClientThatEndsInTheMiddleFailsTheRead) {
  TestServer server(config_);
  Client client(server.port());
  client.send(post("/echo", 10) + "hello");
  ASSERT_TRUE(eventually([&] { return server.application().handled == 1; }));
  client.shut_down_writing();
  EXPECT_TRUE(eventually([&] { return server.application().broken_bodies == 1; }));
  EXPECT_EQ(client.read_response().status, 500);
}

TEST_P(BodiesTest, ClientThatEndsInTheMiddleNeverReachesTheApplication) {
  TestServer server(config_);
  Client client(server.port());
  client.send(post("/echo", 10) + "hello");
  client.shut_down_writing();
  EXPECT_TRUE(client.closed_by_peer());
  EXPECT_EQ(server.application().handled, 0);
}

TEST_P(BodiesTest, SlowBodyTimesOutInsideAndOutside) {
  config_.body_timeout = base::Milliseconds(100);
  TestServer server(config_);
  Client outside(server.port());
  outside.send(post("/echo", 10) + "hello");
  EXPECT_EQ(outside.read_response().status, 408);
  EXPECT_EQ(server.application().handled, 0);
  Client inside(server.port());
  inside.send(post("/echo", 10, "Expect: 100-continue\r\n"));
  EXPECT_EQ(inside.read_response().status, 100);
  inside.send("hello");
  EXPECT_EQ(inside.read_response().status, 500);
  EXPECT_EQ(server.application().broken_bodies, 1);
}

TEST_P(BodiesTest, UploadDirectoryThatFailsIsAnswered503) {
  config_.body_memory = 1000;
  config_.upload_directory = "/nonexistent/directory";
  TestServer server(config_);
  Client client(server.port());
  client.send(post("/echo", 50'000) + std::string(50'000, 'x'));
  EXPECT_EQ(client.read_response().status, 503);
}

TEST(ThreadsBodiesTest, SlowSendersNeverHoldAllThreads) {
  TestServer server(test_config(base::WorkerClass::kThreads, 2));
  std::vector<std::unique_ptr<Client>> slow;
  for (int i = 0; i < 4; ++i) {
    slow.push_back(std::make_unique<Client>(server.port()));
    slow.back()->send(post("/echo", 10, "Expect: 100-continue\r\n"));
  }
  ASSERT_TRUE(eventually([&] { return server.application().handled == 1; }));
  Client quick(server.port());
  for (int i = 0; i < 10; ++i) ASSERT_EQ(quick.get("/hello").status, 200);
  for (auto& client : slow) client->send("0123456789");
  for (auto& client : slow) {
    Response response = client->read_response();
    if (response.status == 100) response = client->read_response();
    EXPECT_EQ(response.body, "0123456789");
  }
}

TEST(ThreadsBodiesTest, OneThreadHasOneUnfinishedRequestInside) {
  TestServer server(test_config(base::WorkerClass::kThreads, 1));
  std::vector<std::unique_ptr<Client>> slow;
  for (int i = 0; i < 3; ++i) {
    slow.push_back(std::make_unique<Client>(server.port()));
    slow.back()->send(post("/echo", 10, "Expect: 100-continue\r\n"));
  }
  ASSERT_TRUE(eventually([&] { return server.application().handled == 1; }));
  for (auto& client : slow) client->send("0123456789");
  for (auto& client : slow) {
    Response response = client->read_response();
    if (response.status == 100) response = client->read_response();
    EXPECT_EQ(response.body, "0123456789");
  }
  EXPECT_EQ(server.application().threads_started, 1);
}

TEST(SyncBodiesTest, WholeRequestsGoBeforeUnfinishedOnes) {
  TestServer server(test_config(base::WorkerClass::kSync));
  Client holder(server.port());
  Client slow(server.port());
  Client quick(server.port());
  ASSERT_EQ(slow.get("/hello").status, 200);
  ASSERT_EQ(quick.get("/hello").status, 200);
  holder.send(get_request("/hold"));
  ASSERT_TRUE(server.application().gate().wait_for(1));
  slow.send(post("/echo", 10, "Expect: 100-continue\r\n"));
  quick.send(get_request("/hello"));
  ASSERT_TRUE(eventually([&] { return server.scoreboard()->waiting.load() == 1; }));
  server.application().gate().open();
  EXPECT_EQ(quick.read_response().status, 200);
  EXPECT_EQ(slow.read_response().status, 100);
  slow.send("0123456789");
  EXPECT_EQ(slow.read_response().body, "0123456789");
}

}  // namespace
}  // namespace corn::server::testing
