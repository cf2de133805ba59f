// SPDX-License-Identifier: Apache-2.0
// Requests and answers, in both worker classes.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>

#include "tests/unit/server/harness.h"

namespace corn::server::testing {
namespace {

class ServingTest : public ::testing::TestWithParam<base::WorkerClass> {
 protected:
  base::WorkerConfig config_ = test_config(GetParam());
};

INSTANTIATE_TEST_SUITE_P(Classes, ServingTest, kBothClasses, class_name);

TEST_P(ServingTest, AnswersARequest) {
  TestServer server(config_);
  Client client(server.port());
  const Response response = client.get("/hello");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, "Hello, World!\n");
  EXPECT_EQ(response.field("Server"), "corn");
  EXPECT_FALSE(response.field("Date").empty());
}

TEST_P(ServingTest, KeepsAConnectionForManyRequests) {
  TestServer server(config_);
  Client client(server.port());
  for (int i = 0; i < 200; ++i) ASSERT_EQ(client.get("/hello").body, "Hello, World!\n") << i;
  EXPECT_EQ(server.scoreboard()->accepted.load(), 1U);
  EXPECT_TRUE(eventually([&] { return server.scoreboard().read().requests == 200; }));
}

TEST_P(ServingTest, AnswersPipelinedRequestsInOrder) {
  TestServer server(config_);
  Client client(server.port());
  std::string requests;
  for (int i = 0; i < 100; ++i) requests += get_request("/big/" + std::to_string(i + 1));
  ASSERT_TRUE(client.send(requests));
  for (std::size_t i = 0; i < 100; ++i) ASSERT_EQ(client.read_response().body.size(), i + 1);
}

TEST_P(ServingTest, AnswersPipelinedBodiesInOrder) {
  TestServer server(config_);
  Client client(server.port());
  std::string requests;
  for (int i = 0; i < 50; ++i) {
    const std::string body = "body " + std::to_string(i);
    requests +=
        "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: " + std::to_string(body.size()) +
        "\r\n\r\n" + body;
    requests +=
        "POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: "
        "chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
  }
  ASSERT_TRUE(client.send(requests));
  for (int i = 0; i < 50; ++i) {
    ASSERT_EQ(client.read_response().body, "body " + std::to_string(i));
    ASSERT_EQ(client.read_response().body, "abc");
  }
}

TEST_P(ServingTest, TakesARequestByteByByte) {
  TestServer server(config_);
  Client client(server.port());
  const std::string request =
      "POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nX-Trailer: t\r\n\r\n" +
      get_request("/hello");
  for (const char byte : request) ASSERT_TRUE(client.send({&byte, 1}));
  EXPECT_EQ(client.read_response().body, "hello world");
  EXPECT_EQ(client.read_response().body, "Hello, World!\n");
}

TEST_P(ServingTest, ClosesWhenTheClientAsksTo) {
  TestServer server(config_);
  Client client(server.port());
  client.send("GET /hello HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
  const Response response = client.read_response();
  EXPECT_EQ(response.field("Connection"), "close");
  EXPECT_TRUE(client.closed_by_peer());
}

TEST_P(ServingTest, Http10ClosesUnlessKeepAliveIsAsked) {
  TestServer server(config_);
  Client closing(server.port());
  closing.send("GET /hello HTTP/1.0\r\n\r\n");
  EXPECT_EQ(closing.read_response().body, "Hello, World!\n");
  EXPECT_TRUE(closing.closed_by_peer());

  Client keeping(server.port());
  for (int i = 0; i < 2; ++i) {
    keeping.send("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    EXPECT_EQ(keeping.read_response().field("Connection"), "keep-alive");
  }
}

TEST_P(ServingTest, KeepAliveOfZeroClosesAfterEachAnswer) {
  config_.keep_alive = base::Milliseconds(0);
  TestServer server(config_);
  Client client(server.port());
  EXPECT_EQ(client.get("/hello").field("Connection"), "close");
  EXPECT_TRUE(client.closed_by_peer());
}

TEST_P(ServingTest, HalfClosedClientStillGetsItsAnswer) {
  TestServer server(config_);
  Client client(server.port());
  client.send(get_request("/big/300000"));
  client.shut_down_writing();
  EXPECT_EQ(client.read_response().body.size(), 300'000U);
  EXPECT_TRUE(client.closed_by_peer());
}

TEST_P(ServingTest, StreamsChunksAsTheyAreWritten) {
  TestServer server(config_);
  Client client(server.port());
  client.send(get_request("/streamed-hold"));
  ASSERT_TRUE(server.application().gate().wait_for(1));
  const std::string begun = client.read(0) + [&] {
    std::string text;
    while (text.find("before") == std::string::npos) text += client.read(1);
    return text;
  }();
  EXPECT_NE(begun.find("Transfer-Encoding: chunked"), std::string::npos);
  server.application().gate().open();
  const std::string rest = "\r\n5\r\nafter\r\n0\r\n\r\n";
  EXPECT_EQ(client.read(rest.size()), rest);
}

TEST_P(ServingTest, StreamedAnswerEndsWithTheConnectionForHttp10) {
  TestServer server(config_);
  Client client(server.port());
  client.send("GET /chunks/3 HTTP/1.0\r\n\r\n");
  const Response response = client.read_response();
  EXPECT_EQ(response.field("Transfer-Encoding"), "");
  EXPECT_EQ(response.body, "piece 0\npiece 1\npiece 2\n");
}

TEST_P(ServingTest, LargeAnswerArrivesWhole) {
  TestServer server(config_);
  Client client(server.port(), 4096);
  EXPECT_EQ(client.get("/big/20000000").body, std::string().append(20'000'000, 'b'));
  EXPECT_EQ(client.get("/pieces/5000000").body, std::string(5'000'000, 'p'));
  EXPECT_EQ(client.get("/hello").status, 200);
}

TEST_P(ServingTest, FileArrivesWhole) {
  TestServer server(config_);
  Client client(server.port(), 4096);
  EXPECT_EQ(client.get("/file/1").body, "f");
  EXPECT_EQ(client.get("/file/9000000").body, std::string().append(9'000'000, 'f'));
  EXPECT_EQ(client.get("/hello").status, 200);
}

TEST_P(ServingTest, HeadHasTheFieldsAndNoBody) {
  TestServer server(config_);
  Client client(server.port());
  client.send("HEAD /hello HTTP/1.1\r\nHost: test\r\n\r\n" + get_request("/hello"));
  EXPECT_EQ(client.read_response(true).field("Content-Length"), "14");
  EXPECT_EQ(client.read_response().body, "Hello, World!\n");
}

TEST_P(ServingTest, WrongRequestNeverReachesTheApplication) {
  TestServer server(config_);
  for (const char* bytes :
       {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "nonsense\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"}) {
    Client client(server.port());
    client.send(bytes);
    const Response response = client.read_response();
    EXPECT_EQ(response.status, 400) << bytes;
    EXPECT_EQ(response.field("Connection"), "close");
    EXPECT_TRUE(client.closed_by_peer());
  }
  EXPECT_EQ(server.application().handled, 0);
  EXPECT_EQ(server.scoreboard()->refused.load(), 3U);
}

TEST_P(ServingTest, ParserLimitsAreThoseOfTheSettings) {
  config_.limit_request_line = 100;
  config_.limit_request_fields = 2;
  TestServer server(config_);
  Client line(server.port());
  EXPECT_EQ(line.get("/" + std::string(100, 'x')).status, 414);
  Client fields(server.port());
  fields.send("GET /hello HTTP/1.1\r\nHost: test\r\nA: 1\r\nB: 2\r\n\r\n");
  EXPECT_EQ(fields.read_response().status, 431);
}

TEST_P(ServingTest, HeadLargerThanABlockOfTheBufferIsTaken) {
  TestServer server(config_);
  Client client(server.port());
  std::string request = "GET /hello HTTP/1.1\r\nHost: test\r\n";
  for (int i = 0; i < 60; ++i) {
    request += "X-Field-" + std::to_string(i) + ": " + std::string(2000, 'v') + "\r\n";
  }
  client.send(request + "\r\n" + get_request("/hello"));
  EXPECT_EQ(client.read_response().status, 200);
  EXPECT_EQ(client.read_response().status, 200);
}

TEST_P(ServingTest, WrongRequestAfterAGoodOneIsRefusedAfterItsAnswer) {
  TestServer server(config_);
  Client client(server.port());
  client.send(get_request("/hello") + "nonsense\r\n\r\n");
  EXPECT_EQ(client.read_response().status, 200);
  EXPECT_EQ(client.read_response().status, 400);
}

TEST_P(ServingTest, FailureBeforeTheHeadIsAnswered500) {
  TestServer server(config_);
  Client client(server.port());
  EXPECT_EQ(client.get("/fail").status, 500);
  EXPECT_TRUE(eventually([&] { return server.scoreboard().read().errors == 1; }));
  Client next(server.port());
  EXPECT_EQ(next.get("/hello").status, 200);
}

TEST_P(ServingTest, FailureAfterTheHeadShowsAsABrokenAnswer) {
  TestServer server(config_);
  Client client(server.port());
  const Response chunked = client.get("/fail-late");
  EXPECT_EQ(chunked.status, 200);
  EXPECT_FALSE(chunked.complete);
  Client old(server.port());
  old.send("GET /fail-late HTTP/1.0\r\n\r\n");
  EXPECT_FALSE(old.read_response().complete);
}

TEST_P(ServingTest, AnswerShorterThanAnnouncedIsCutOff) {
  TestServer server(config_);
  Client client(server.port());
  const Response response = client.get("/short");
  EXPECT_EQ(response.body, "0123456789");
  EXPECT_FALSE(response.complete);
}

TEST_P(ServingTest, SurplusBeyondContentLengthIsNotSent) {
  TestServer server(config_);
  Client client(server.port());
  EXPECT_EQ(client.get("/long").body, "01234");
  EXPECT_EQ(client.get("/hello").body, "Hello, World!\n");
  EXPECT_EQ(server.application().failed_writes, 1);
}

TEST_P(ServingTest, InjectedFieldIsRefusedToTheApplication) {
  TestServer server(config_);
  Client client(server.port());
  const Response response = client.get("/inject");
  EXPECT_EQ(response.status, 500);
  EXPECT_EQ(response.field("Set-Cookie"), "");
}

TEST_P(ServingTest, ForwardedSchemeCountsOnlyFromTrustedPeers) {
  config_.secure_scheme_headers = {"X-FORWARDED-PROTO=https"};
  const std::string request =
      "GET /scheme HTTP/1.1\r\nHost: test\r\nX-Forwarded-Proto: https\r\n\r\n";
  {
    TestServer server(config_);
    Client client(server.port());
    client.send(request);
    EXPECT_EQ(client.read_response().body, "https");
    EXPECT_EQ(client.get("/scheme").body, "http");
    EXPECT_EQ(client.get("/remote").body, "127.0.0.1");
  }
  config_.forwarded_allow_ips = {"192.0.2.0/24"};
  TestServer server(config_);
  Client client(server.port());
  client.send(request);
  EXPECT_EQ(client.read_response().body, "http");
}

TEST_P(ServingTest, ConnectionsBeyondTheLimitWaitInTheBacklog) {
  config_.worker_connections = 2;
  TestServer server(config_);
  Client first(server.port());
  auto second = std::make_unique<Client>(server.port());
  ASSERT_EQ(first.get("/hello").status, 200);
  ASSERT_EQ(second->get("/hello").status, 200);
  Client third(server.port());
  third.send(get_request("/hello"));
  EXPECT_FALSE(third.readable(std::chrono::milliseconds(50)));
  EXPECT_EQ(server.scoreboard()->connections.load(), 2U);
  second.reset();
  EXPECT_EQ(third.read_response().status, 200);
}

TEST_P(ServingTest, IdleConnectionsMakeRoomForNewcomersAtTheLimit) {
  config_.worker_connections = 3;
  config_.keep_alive = std::chrono::hours(1);
  TestServer server(config_);
  Client idle(server.port());
  ASSERT_EQ(idle.get("/hello").status, 200);
  Client half(server.port());
  half.send("GET /hello HTTP/1.1\r\n");
  Client other(server.port());
  ASSERT_EQ(other.get("/hello").status, 200);
  Client newcomer(server.port());
  EXPECT_EQ(newcomer.get("/hello").status, 200);
  EXPECT_TRUE(idle.closed_by_peer()) << "it was idle for longest";
  EXPECT_EQ(other.get("/hello").status, 200);
  half.send("\r\n");
  EXPECT_EQ(half.read_response().status, 200) << "a request on its way is not given up";
}

TEST_P(ServingTest, MaxRequestsAsksOnceForReplacementAndServesOn) {
  config_.max_requests = 5;
  TestServer server(config_);
  Client client(server.port());
  for (int i = 0; i < 20; ++i) ASSERT_EQ(client.get("/hello").status, 200);
  EXPECT_TRUE(eventually([&] { return server.retiring == 1; }));
}

TEST_P(ServingTest, MaxRequestsJitterStaysWithinItsRange) {
  config_.max_requests = 3;
  config_.max_requests_jitter = 4;
  TestServer server(config_);
  Client client(server.port());
  for (int i = 0; i < 2; ++i) ASSERT_EQ(client.get("/hello").status, 200);
  EXPECT_EQ(server.retiring, 0);
  for (int i = 0; i < 6; ++i) ASSERT_EQ(client.get("/hello").status, 200);
  EXPECT_TRUE(eventually([&] { return server.retiring == 1; }));
}

TEST_P(ServingTest, AccessLogHasALineForEachRequestSoon) {
  config_.access_log = "FILE";
  config_.access_log_format = R"(%(h)s "%(r)s" %(s)s %(b)s %({Content-Type}o)s)";
  TestServer server(config_);
  Client client(server.port());
  client.get("/hello");
  client.get("/chunks/2");
  client.get("/fail");
  const std::string path = server.directory() + "/access.log";
  const auto lines = [&] {
    const std::string text = read_file(path);
    return std::count(text.begin(), text.end(), '\n');
  };
  ASSERT_TRUE(eventually([&] { return lines() == 3; }));
  const std::string text = read_file(path);
  EXPECT_NE(text.find("127.0.0.1 \"GET /hello HTTP/1.1\" 200 14 text/plain\n"), std::string::npos);
  EXPECT_NE(text.find("\"GET /chunks/2 HTTP/1.1\" 200 16 "), std::string::npos);
  EXPECT_NE(text.find("\"GET /fail HTTP/1.1\" 500 "), std::string::npos);
  Client wrong(server.port());
  wrong.send("G\x01T / HTTP/1.1\r\n\r\n");
  wrong.read_to_end();
  ASSERT_TRUE(eventually([&] { return lines() == 4; }));
  EXPECT_NE(read_file(path).find("127.0.0.1 \"-\" 400 "), std::string::npos);
}

TEST_P(ServingTest, AccessLogIsReopenedUnderItsName) {
  config_.access_log = "FILE";
  TestServer server(config_);
  Client client(server.port());
  client.get("/hello");
  const std::string path = server.directory() + "/access.log";
  ASSERT_TRUE(eventually([&] { return !read_file(path).empty(); }));
  ASSERT_EQ(std::rename(path.c_str(), (path + ".1").c_str()), 0);
  server.server().reopen_logs();
  client.get("/hello");
  EXPECT_TRUE(eventually([&] { return !read_file(path).empty(); }));
}

TEST_P(ServingTest, RequestInsideIsDescribed) {
  TestServer server(config_);
  Client client(server.port());
  EXPECT_EQ(server.server().describe_requests(), "");
  client.send(get_request("/hold?x=1"));
  ASSERT_TRUE(server.application().gate().wait_for(1));
  const std::string text = server.server().describe_requests();
  EXPECT_NE(text.find(": GET /hold?x=1, for 0."), std::string::npos) << text;
  server.application().gate().open();
  EXPECT_EQ(client.read_response().status, 200);
}

TEST_P(ServingTest, ClientThatGoesAwayFailsTheWriterAndNobodyElse) {
  TestServer server(config_);
  Client other(server.port());
  {
    Client client(server.port(), 4096);
    client.send(get_request("/pieces/50000000"));
    ASSERT_FALSE(client.read(1000).empty());
  }
  EXPECT_TRUE(eventually([&] { return server.application().failed_writes > 0; }));
  EXPECT_EQ(other.get("/hello").status, 200);
  EXPECT_TRUE(eventually([&] { return server.scoreboard()->connections.load() == 1; }));
}

TEST_P(ServingTest, ManyClientsAtOnceAreAllAnswered) {
  TestServer server(config_);
  std::vector<std::thread> clients;
  std::atomic<int> answered{0};
  for (int i = 0; i < 16; ++i) {
    clients.emplace_back([&] {
      Client client(server.port());
      for (int j = 0; j < 50; ++j) answered += client.get("/hello").status == 200 ? 1 : 0;
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(answered, 16 * 50);
}

TEST_P(ServingTest, UnixSocketHasATrustedPeerWithoutAnAddress) {
  config_.access_log = "FILE";
  config_.secure_scheme_headers = {"X-FORWARDED-PROTO=https"};
  TestServer server(config_, Transport::kUnix);
  Client client(server.socket_path());
  EXPECT_EQ(client.get("/remote").body, "");
  client.send("GET /scheme HTTP/1.1\r\nHost: test\r\nX-Forwarded-Proto: https\r\n\r\n");
  EXPECT_EQ(client.read_response().body, "https");
  const std::string path = server.directory() + "/access.log";
  EXPECT_TRUE(eventually([&] { return read_file(path).starts_with("- - - ["); }));
}

TEST(ThreadsClassTest, ThreadsAreAnnouncedToTheApplication) {
  TestServer server(test_config(base::WorkerClass::kThreads, 4));
  EXPECT_TRUE(eventually([&] { return server.application().threads_started == 4; }));
  server.server().quit();
  ASSERT_TRUE(server.wait_until_ended());
  EXPECT_TRUE(eventually([&] { return server.application().threads_stopped == 4; }));
}

TEST(ThreadsClassTest, AsManyRequestsAreInsideAsThereAreThreads) {
  TestServer server(test_config(base::WorkerClass::kThreads, 3));
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(std::make_unique<Client>(server.port()));
    clients.back()->send(get_request("/hold"));
  }
  ASSERT_TRUE(server.application().gate().wait_for(3));
  EXPECT_EQ(server.scoreboard().read().in_flight, 3U);
  server.application().gate().open();
  for (auto& client : clients) EXPECT_EQ(client->read_response().status, 200);
}

TEST(PrepareTest, MalformedSettingIsRefusedBeforeServing) {
  base::WorkerConfig config;
  config.forwarded_allow_ips = {"nonsense"};
  auto scoreboard = base::ScoreboardMap::create(1);
  ASSERT_TRUE(scoreboard);
  PathApplication application;
  Server server(config, {}, *scoreboard, application, {});
  const auto prepared = server.prepare();
  ASSERT_FALSE(prepared);
  EXPECT_NE(prepared.error().message.find("nonsense"), std::string::npos);
}

}  // namespace
}  // namespace corn::server::testing
