// SPDX-License-Identifier: Apache-2.0
// The engine on a loop that is not its own, with an application that has many requests inside: a
// loop of poll(2) and requests that are small state machines stand in for asyncio and its tasks.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "base/check.h"
#include "tests/unit/server/harness.h"
#include "workerd/app/async.h"

namespace corn::server::testing {
namespace {

using base::Milliseconds;

//   /hello      answers at once
//   /echo       the body, piece by piece as it comes
//   /flood      64 pieces of 64 KiB, waiting for room
//   /hold       answers when the test says so; /hang: the loop's thread is held instead
//   /socket     accepts a WebSocket and echoes
class PollApplication final : public app::AsyncApplication, private app::HostLoop {
 public:
  void begin(app::AsyncExchange& exchange) override {
    tasks_.push_back(std::make_unique<Task>(*this, exchange));
    ready_.insert(tasks_.back().get());
    ++begun;
  }
  app::HostLoop* host_loop() override { return this; }
  void dump_stacks(int /*fd*/) override {}

  Gate gate;
  std::atomic<int> begun{0};
  std::atomic<int> gone{0};  // clients that left
  std::atomic<int> abandoned{0};
  std::atomic<bool> release{false};
  std::atomic<int> pieces{0};  // of /flood

 private:
  class Task final : public app::AsyncHandler {
   public:
    Task(PollApplication& owner, app::AsyncExchange& exchange)
        : owner_(owner), exchange_(&exchange) {
      exchange.set_handler(*this);
    }
    void on_change() override { owner_.ready_.insert(this); }
    void on_abandoned() override {
      exchange_ = nullptr;
      ++owner_.abandoned;
    }
    // True when it is over.
    bool run();

   private:
    bool answer(std::string_view body);
    bool echo();
    bool flood();
    bool talk();

    PollApplication& owner_;
    app::AsyncExchange* exchange_;
    app::WebSocket* socket_ = nullptr;
    bool started_ = false;
    int pieces_ = 0;
  };

  void run(app::EngineLoop& engine) override {
    while (!engine.done()) {
      const auto next = engine.turn();
      soonest_ = next ? std::min<base::Duration>(*next, Milliseconds(20)) : Milliseconds(20);
      for (Task* task : std::exchange(ready_, {})) {
        if (!task->run()) continue;
        std::erase_if(tasks_, [task](const auto& other) { return other.get() == task; });
      }
      if (release) {
        for (const auto& task : tasks_) ready_.insert(task.get());
      }
      if (!ready_.empty()) soonest_ = base::Duration::zero();
      pollfd ready{engine.descriptor(), POLLIN, 0};
      ::poll(&ready, 1, static_cast<int>(std::chrono::ceil<Milliseconds>(soonest_).count()));
    }
  }
  void turn_within(base::Duration delay) override { soonest_ = std::min(soonest_, delay); }

  std::vector<std::unique_ptr<Task>> tasks_;
  std::set<Task*> ready_;
  base::Duration soonest_{};
};

bool PollApplication::Task::answer(std::string_view body) {
  const std::vector<http::Field> fields{{"Content-Type", "text/plain"}};
  EXPECT_TRUE(exchange_->responder().start("200 OK", fields));
  static_cast<void>(exchange_->responder().write(body, true));
  exchange_->leave();
  return true;
}

bool PollApplication::Task::echo() {
  if (!std::exchange(started_, true)) {
    EXPECT_TRUE(exchange_->responder().start("200 OK", {}));
  }
  while (const std::size_t size = exchange_->body_available()) {
    std::string piece(std::min<std::size_t>(size, 10'000), '\0');
    const auto got = exchange_->read_body(piece.data(), piece.size());
    EXPECT_TRUE(got);
    piece.resize(*got);
    static_cast<void>(exchange_->responder().write(piece, false));
  }
  if (exchange_->body_whole()) {
    exchange_->responder().finish();
  } else if (!exchange_->body_broken()) {
    exchange_->want_body();
    return false;
  }
  exchange_->leave();
  return true;
}

bool PollApplication::Task::flood() {
  if (!std::exchange(started_, true)) {
    EXPECT_TRUE(exchange_->responder().start("200 OK", {}));
  }
  while (pieces_ < 64 && !exchange_->client_ended()) {
    if (exchange_->congested()) return false;
    static_cast<void>(exchange_->responder().write(std::string(65'536, 'x'), false));
    owner_.pieces = ++pieces_;
  }
  if (exchange_->client_ended()) ++owner_.gone;
  exchange_->responder().finish();
  exchange_->leave();
  return true;
}

bool PollApplication::Task::talk() {
  if (socket_ == nullptr) {
    const auto accepted = exchange_->accept_websocket("", {});
    EXPECT_TRUE(accepted);
    socket_ = *accepted;
  }
  while (const auto message = socket_->take_message()) {
    socket_->send(message->text, message->payload);
  }
  if (!socket_->end()) return false;
  exchange_->leave();
  return true;
}

bool PollApplication::Task::run() {
  const std::string_view path = exchange_->head().path;
  if (path == "/hello") return answer("hello");
  if (path == "/echo") return echo();
  if (path == "/flood") return flood();
  if (path == "/socket") return talk();
  if (path == "/hang") {
    owner_.gate.pass();
    return answer("late");
  }
  if (exchange_->client_ended()) {
    ++owner_.gone;
    exchange_->leave();
    return true;
  }
  return owner_.release && answer("released");
}

class EngineAsyncTest : public ::testing::Test {
 protected:
  void SetUp() override { start({}); }
  void TearDown() override {
    application_.gate.open();
    if (server_) server_->quit();
    if (thread_.joinable()) thread_.join();
    server_.reset();
  }

  void start(const std::function<void(base::WorkerConfig&)>& change) {
    config_ = test_config(base::WorkerClass::kAsgi);
    if (change) change(config_);
    base::UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* name = reinterpret_cast<sockaddr*>(&address);
    socklen_t size = sizeof(address);
    CORN_CHECK(::bind(listener.get(), name, size) == 0 && ::listen(listener.get(), 128) == 0 &&
               ::getsockname(listener.get(), name, &size) == 0);
    port_ = ntohs(address.sin_port);
    config_.listeners = {{"http://127.0.0.1", "127.0.0.1", port_, false}};
    auto scoreboard = base::ScoreboardMap::create(2);
    CORN_CHECK(scoreboard);
    scoreboard_ = std::move(*scoreboard);
    std::vector<base::UniqueFd> listeners;
    listeners.push_back(std::move(listener));
    server_ =
        std::make_unique<Server>(config_, std::move(listeners), scoreboard_, application_, [] {});
    CORN_CHECK(server_->prepare());
    thread_ = std::thread([this] { server_->run(); });
  }

  base::WorkerConfig config_;
  base::ScoreboardMap scoreboard_;
  PollApplication application_;
  std::unique_ptr<Server> server_;
  std::uint16_t port_ = 0;
  std::thread thread_;
};

TEST_F(EngineAsyncTest, RequestsOfAConnectionAreAnsweredInOrder) {
  Client client(port_);
  std::string requests;
  for (int i = 0; i < 40; ++i) requests += get_request("/hello");
  ASSERT_TRUE(client.send(requests));
  for (int i = 0; i < 40; ++i) EXPECT_EQ(client.read_response().body, "hello");
}

TEST_F(EngineAsyncTest, ABodyIsHandedOverAsItComes) {
  Client client(port_);
  ASSERT_TRUE(
      client.send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                  "3\r\none\r\n"));
  const std::string head = client.read(15);
  EXPECT_EQ(head, "HTTP/1.1 200 OK");
  ASSERT_TRUE(client.send("5\r\nthree\r\n0\r\n\r\n"));
  std::string rest;
  while (rest.find("0\r\n\r\n") == std::string::npos) rest += client.read(1);
  EXPECT_TRUE(rest.ends_with("\r\n\r\n3\r\none\r\n5\r\nthree\r\n0\r\n\r\n")) << rest;
}

TEST_F(EngineAsyncTest, AMillionBytesComeBackWhole) {
  Client client(port_);
  const std::string body(1'000'000, 'b');
  std::thread sender([&] {
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    client.send(body);
  });
  EXPECT_EQ(client.read_response().body, body);
  sender.join();
}

TEST_F(EngineAsyncTest, AnApplicationStopsForAClientThatDoesNotRead) {
  Client client(port_, 4096);
  ASSERT_TRUE(client.send(get_request("/flood")));
  ASSERT_TRUE(eventually([this] { return application_.pieces > 3; }));
  EXPECT_EQ(Client(port_).get("/hello").body, "hello");
  EXPECT_LT(application_.pieces, 64);
  EXPECT_EQ(client.read_response().body.size(), 64U * 65'536U);
}

TEST_F(EngineAsyncTest, AClientThatLeavesIsNoticedWithoutAnyWrite) {
  {
    Client client(port_);
    ASSERT_TRUE(client.send(get_request("/hold")));
    ASSERT_TRUE(eventually([this] { return application_.begun == 1; }));
  }
  EXPECT_TRUE(eventually([this] { return application_.gone == 1; }));
}

TEST_F(EngineAsyncTest, MoreRequestsThanSlotsAreCountedAndTheOldestAreShown) {
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 5; ++i) {
    clients.push_back(std::make_unique<Client>(port_));
    ASSERT_TRUE(clients.back()->send(get_request("/hold" + std::to_string(i))));
    ASSERT_TRUE(eventually([&] { return application_.begun == i + 1; }));
  }
  const auto view = scoreboard_.read(true);
  EXPECT_EQ(view.in_flight, 5U);
  std::set<std::string> shown{view.slots[0].target, view.slots[1].target};
  EXPECT_EQ(shown, (std::set<std::string>{"/hold0", "/hold1"}));
  clients.erase(clients.begin());
  EXPECT_TRUE(eventually([this] {
    const auto now = scoreboard_.read(true);
    return now.in_flight == 4 && now.requests == 1 &&
           (now.slots[0].target == "/hold2" || now.slots[1].target == "/hold2");
  }));
  application_.release = true;
  for (const auto& client : clients) EXPECT_EQ(client->read_response().body, "released");
  EXPECT_TRUE(eventually([this] {
    const auto now = scoreboard_.read();
    return now.in_flight == 0 && now.requests == 5;
  }));
}

TEST_F(EngineAsyncTest, DrainingAnswersWhatIsInside) {
  Client client(port_);
  ASSERT_TRUE(client.send(get_request("/hold")));
  ASSERT_TRUE(eventually([this] { return application_.begun == 1; }));
  server_->drain(Milliseconds(10'000), true);
  application_.release = true;
  EXPECT_EQ(client.read_response().body, "released");
  thread_.join();
  EXPECT_EQ(application_.abandoned, 0);
}

TEST_F(EngineAsyncTest, QuittingTellsTheApplicationThatItsRequestsAreGone) {
  Client client(port_);
  ASSERT_TRUE(client.send(get_request("/hang")));
  ASSERT_TRUE(application_.gate.wait_for(1));
  Client other(port_);
  server_->quit();
  application_.gate.open();
  thread_.join();
}

TEST_F(EngineAsyncTest, ClientsAreAnsweredThoughTheLoopHangs) {
  Client hanging(port_);
  Client holding(port_);
  ASSERT_TRUE(holding.send(get_request("/hold")));
  ASSERT_TRUE(eventually([this] { return application_.begun == 1; }));
  ASSERT_TRUE(hanging.send(get_request("/hang")));
  ASSERT_TRUE(application_.gate.wait_for(1));
  std::thread aborter([this] { server_->abort_requests(Milliseconds(10'000)); });
  EXPECT_EQ(hanging.read_response().status, 504);
  EXPECT_EQ(holding.read_response().status, 504);
  hanging.close();
  holding.close();
  aborter.join();
}

TEST_F(EngineAsyncTest, AWebSocketIsToldThatTheWorkerGoes) {
  Client client(port_);
  ASSERT_TRUE(
      client.send("GET /socket HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
                  "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"));
  std::string head;
  while (head.find("\r\n\r\n") == std::string::npos) head += client.read(1);
  EXPECT_NE(head.find("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), std::string::npos) << head;
  ASSERT_TRUE(client.send(std::string("\x81\x82\0\0\0\0ab", 8)));
  EXPECT_EQ(client.read(4),
            "\x81\x02"
            "ab");
  EXPECT_TRUE(eventually([this] { return scoreboard_.read().in_flight == 0; }));
  server_->drain(Milliseconds(10'000), true);
  const std::string close = client.read(4);
  ASSERT_EQ(close.size(), 4U);
  EXPECT_EQ(close.substr(2), "\x03\xe9");  // 1001
  client.close();
  thread_.join();
}

}  // namespace
}  // namespace corn::server::testing
