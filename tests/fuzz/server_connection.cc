// SPDX-License-Identifier: Apache-2.0
// The engine itself, over a real socket: reactor, connection, body store, transmitter, with an
// application that answers with what it was sent. However the client's bytes are cut, the answers
// are the same, they are whole, and nothing but answers comes back. Input: a byte that decides
// about cuts, then what the client sends before it shuts down its side.
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/check.h"
#include "base/log.h"
#include "base/scoreboard.h"
#include "base/unique_fd.h"
#include "workerd/app/application.h"
#include "workerd/server/server.h"

namespace corn::server {
namespace {

// Answers with method, path, query and body; by the first letter of the query otherwise.
class EchoApplication final : public app::Application {
 public:
  void handle(app::Request& request, app::Responder& responder) override {
    std::string answer(request.head.method);
    answer.append(" ")
        .append(request.head.path)
        .append("?")
        .append(request.head.query)
        .append("\n");
    std::array<char, 100> piece{};
    const bool read = !request.head.query.starts_with("i");
    for (std::size_t size = read ? 1 : 0; size > 0;) {
      const auto result = request.body.read(piece.data(), piece.size());
      if (!result) {
        responder.fail();
        return;
      }
      size = *result;
      answer.append(piece.data(), size);
    }
    if (request.head.query.starts_with("f")) {
      responder.fail();
      return;
    }
    std::vector<http::Field> fields{{"Content-Type", "text/plain"}};
    const std::string length = std::to_string(answer.size());
    if (request.head.query.starts_with("l")) fields.push_back({"Content-Length", length});
    CORN_CHECK(responder.start("200 OK", fields));
    const std::size_t half = answer.size() / 2;
    // The client may have gone; the engine says so and the application goes on.
    static_cast<void>(responder.write(std::string_view(answer).substr(0, half)));
    static_cast<void>(responder.write(std::string_view(answer).substr(half), read));
    responder.finish();
  }
  void dump_stacks(int /*fd*/) override {}
};

// One server for all inputs. It lives as long as the process, so that nothing has to be joined at
// exit.
class Fixture {
 public:
  Fixture() {
    CORN_CHECK(base::open_log({.level = base::LogLevel::kCritical}).has_value());
    ::signal(SIGPIPE, SIG_IGN);  // as workerd has it
    std::string pattern = (std::filesystem::temp_directory_path() / "corn-fuzz-XXXXXX").string();
    CORN_CHECK(::mkdtemp(pattern.data()) != nullptr);
    directory_ = pattern;
    const std::string path = directory_ + "/socket";
    path.copy(address_.sun_path, sizeof(address_.sun_path) - 1);
    base::UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    CORN_CHECK(::bind(listener.get(), peer(), sizeof(address_)) == 0);
    CORN_CHECK(::listen(listener.get(), 16) == 0);
    config_.listeners.push_back({"unix:" + path, path, 0, true});
    config_.upload_directory = directory_;
    config_.body_memory = 64;  // so that bodies are spilled
    auto scoreboard = base::ScoreboardMap::create(1);
    CORN_CHECK(scoreboard.has_value());
    scoreboard_ = std::move(*scoreboard);
    std::vector<base::UniqueFd> listeners;
    listeners.push_back(std::move(listener));
    server_ =
        std::make_unique<Server>(config_, std::move(listeners), scoreboard_, application_, [] {});
    CORN_CHECK(server_->prepare().has_value());
    thread_ = std::thread([this] { server_->run(); });
  }
  ~Fixture() {
    server_->quit();
    thread_.join();
    server_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }
  Fixture(const Fixture&) = delete;
  Fixture& operator=(const Fixture&) = delete;

  [[nodiscard]] base::UniqueFd connect() const {
    base::UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    CORN_CHECK(::connect(socket.get(), peer(), sizeof(address_)) == 0);
    return socket;
  }

 private:
  [[nodiscard]] const sockaddr* peer() const {
    return reinterpret_cast<const sockaddr*>(&address_);
  }

  sockaddr_un address_{.sun_family = AF_UNIX, .sun_path = {}};
  std::string directory_;
  base::WorkerConfig config_;
  EchoApplication application_;
  base::ScoreboardMap scoreboard_;
  std::unique_ptr<Server> server_;
  std::thread thread_;
};

// Sends `bytes` in pieces of at most `most` bytes, shuts down, and returns all that comes back.
std::string exchange(const Fixture& fixture, std::string_view bytes, std::size_t most,
                     unsigned seed) {
  const base::UniqueFd socket = fixture.connect();
  std::minstd_rand random(seed);
  while (!bytes.empty()) {
    const std::size_t size = std::min<std::size_t>(bytes.size(), 1 + random() % most);
    // The server may have refused what came before, and closed.
    if (::send(socket.get(), bytes.data(), size, MSG_NOSIGNAL) < 0) break;
    bytes.remove_prefix(size);
  }
  ::shutdown(socket.get(), SHUT_WR);
  std::string received;
  std::array<char, 16384> piece{};
  constexpr int kPatienceMilliseconds = 10'000;
  for (;;) {
    pollfd item{socket.get(), POLLIN, 0};
    const int ready = ::poll(&item, 1, kPatienceMilliseconds);
    if (ready < 0 && errno == EINTR) continue;  // the fuzzer's own alarm
    CORN_CHECK(ready == 1);                     // otherwise the engine hangs
    const ssize_t size = ::recv(socket.get(), piece.data(), piece.size(), 0);
    if (size <= 0) break;
    received.append(piece.data(), static_cast<std::size_t>(size));
  }
  return received;
}

// The Date field changes with the second.
std::string without_dates(std::string text) {
  constexpr std::string_view kDate = "\r\nDate: ";
  constexpr std::size_t kDateBytes = 29;  // RFC 9110 section 5.6.7, IMF-fixdate
  for (std::size_t at = 0; (at = text.find(kDate, at)) != std::string::npos;) {
    text.erase(at + kDate.size(), kDateBytes);
    at += kDate.size();
  }
  return text;
}

void test_one_input(std::string_view input) {
  if (input.size() < 2) return;
  static Fixture fixture;
  const auto seed = static_cast<unsigned char>(input[0]);
  const std::string_view bytes = input.substr(1);
  // A body that takes longer than 500 ms on its way enters the application before it is whole,
  // which then answers for it: a machine that stalls once is no finding.
  constexpr int kAttempts = 5;
  const std::size_t most = 1 + seed % 32U + bytes.size() / 64;
  for (int attempt = 1;; ++attempt) {
    const std::string whole = exchange(fixture, bytes, bytes.size(), 1);
    CORN_CHECK(whole.empty() || whole.starts_with("HTTP/1."));
    const std::string pieces = exchange(fixture, bytes, most, seed);
    if (without_dates(whole) == without_dates(pieces)) return;
    CORN_CHECK(attempt < kAttempts);
  }
}

}  // namespace
}  // namespace corn::server

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  corn::server::test_one_input({reinterpret_cast<const char*>(data), size});
  return 0;
}
