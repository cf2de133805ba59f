// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/server/harness.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>

#include "base/check.h"

namespace corn::server::testing {
namespace {

std::uint64_t number_after(std::string_view text, std::string_view prefix) {
  std::uint64_t number = 0;
  text.remove_prefix(prefix.size());
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

// A response whose failures are counted.
class Answer {
 public:
  Answer(app::Responder& responder, std::atomic<int>& failures)
      : responder_(responder), failures_(failures) {}

  bool start(std::string_view status, std::vector<http::Field> fields = {}) {
    fields.push_back({"Content-Type", "text/plain"});
    return static_cast<bool>(responder_.start(status, fields));
  }
  bool write(std::string_view bytes, bool last = false) {
    if (responder_.write(bytes, last)) return true;
    ++failures_;
    return false;
  }
  void text(std::string_view body) {
    const std::string length = std::to_string(body.size());
    start("200 OK", {{"Content-Length", length}});
    write(body, true);
    responder_.finish();
  }

 private:
  app::Responder& responder_;
  std::atomic<int>& failures_;
};

base::UniqueFd listen_on_loopback(std::uint16_t& port) {
  base::UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CORN_CHECK(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
  CORN_CHECK(::listen(fd.get(), 1024) == 0);
  socklen_t size = sizeof(address);
  CORN_CHECK(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
  port = ntohs(address.sin_port);
  return fd;
}

sockaddr_un unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  CORN_CHECK(path.size() < sizeof(address.sun_path));
  path.copy(address.sun_path, path.size());
  return address;
}

base::UniqueFd listen_on_path(const std::string& path) {
  base::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_un address = unix_address(path);
  CORN_CHECK(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
  CORN_CHECK(::listen(fd.get(), 16) == 0);
  return fd;
}

}  // namespace

void Gate::pass() {
  std::unique_lock lock(mutex_);
  ++arrived_;
  changed_.notify_all();
  changed_.wait(lock, [this] { return open_; });
}

void Gate::open() {
  const std::lock_guard lock(mutex_);
  open_ = true;
  changed_.notify_all();
}

bool Gate::wait_for(int count) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, kPatience, [&] { return arrived_ >= count; });
}

void PathApplication::handle(app::Request& request, app::Responder& responder) {
  const std::string_view path = request.head.path;
  Answer answer(responder, failed_writes);
  ++handled;
  if (path == "/hello") {
    answer.text("Hello, World!\n");
  } else if (path == "/hold") {
    gate_.pass();
    answer.text("Hello, World!\n");
  } else if (path == "/echo" || path == "/sum") {
    std::string body;
    std::array<char, 1000> piece{};
    for (;;) {
      auto size = request.body.read(piece.data(), piece.size());
      if (!size) {
        ++broken_bodies;
        responder.fail();
        return;
      }
      if (*size == 0) break;
      body.append(piece.data(), *size);
    }
    answer.text(path == "/echo" ? body : std::to_string(body.size()));
  } else if (path.starts_with("/chunks/")) {
    const std::uint64_t count = number_after(path, "/chunks/");
    answer.start("200 OK");
    for (std::uint64_t i = 0; i < count; ++i) answer.write("piece " + std::to_string(i) + "\n");
    responder.finish();
  } else if (path.starts_with("/big/")) {
    answer.text(std::string(number_after(path, "/big/"), 'b'));
  } else if (path.starts_with("/pieces/")) {
    std::uint64_t left = number_after(path, "/pieces/");
    const std::string piece(64 * 1024, 'p');
    answer.start("200 OK");
    while (left > 0) {
      const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(left, piece.size()));
      if (!answer.write(std::string_view(piece).substr(0, size))) break;
      left -= size;
    }
    responder.finish();
  } else if (path.starts_with("/file/")) {
    const std::uint64_t size = number_after(path, "/file/");
    const base::UniqueFd file(::memfd_create("file", MFD_CLOEXEC));
    const std::string content(size, 'f');
    CORN_CHECK(::pwrite(file.get(), content.data(), size, 0) == static_cast<ssize_t>(size));
    const std::string length = std::to_string(size);
    answer.start("200 OK", {{"Content-Length", length}});
    if (!responder.send_file(file.get(), 0, size)) ++failed_writes;
    responder.finish();
  } else if (path == "/half") {
    std::array<char, 10> piece{};
    static_cast<void>(request.body.read(piece.data(), piece.size()));
    answer.text("Hello, World!\n");
  } else if (path == "/ignore") {
    answer.text("ignored\n");
  } else if (path == "/fail") {
    answer.start("200 OK");
    responder.fail();
  } else if (path == "/fail-late") {
    answer.start("200 OK");
    answer.write("begun");
    responder.fail();
  } else if (path == "/short") {
    answer.start("200 OK", {{"Content-Length", "100"}});
    answer.write("0123456789");
    responder.finish();
  } else if (path == "/long") {
    answer.start("200 OK", {{"Content-Length", "5"}});
    answer.write("0123456789");
    responder.finish();
  } else if (path == "/inject") {
    if (!answer.start("200 OK", {{"X-Field", "a\r\nSet-Cookie: b"}})) responder.fail();
    responder.finish();
  } else if (path == "/scheme") {
    answer.text(request.scheme);
  } else if (path == "/remote") {
    answer.text(request.connection.remote_host);
  } else if (path == "/streamed-hold") {
    answer.start("200 OK");
    answer.write("before");
    gate_.pass();
    answer.write("after");
    responder.finish();
  } else {
    answer.start("404 Not Found");
    responder.finish();
  }
}

std::string class_name(const ::testing::TestParamInfo<base::WorkerClass>& info) {
  return info.param == base::WorkerClass::kSync ? "sync" : "threads";
}

base::WorkerConfig test_config(base::WorkerClass worker_class, std::uint32_t threads) {
  base::WorkerConfig config;
  config.worker_class = worker_class;
  config.threads = worker_class == base::WorkerClass::kThreads ? threads : 1;
  config.keep_alive = std::chrono::seconds(5);
  return config;
}

TestServer::TestServer(base::WorkerConfig config, Transport transport, HandOffEnds hand_off)
    : config_(std::move(config)) {
  std::string pattern = (std::filesystem::temp_directory_path() / "corn-server-XXXXXX").string();
  CORN_CHECK(::mkdtemp(pattern.data()) != nullptr);
  directory_ = pattern;
  if (config_.upload_directory.empty()) config_.upload_directory = directory_;
  if (config_.access_log == "FILE") config_.access_log = directory_ + "/access.log";
  std::vector<base::UniqueFd> listeners;
  if (transport == Transport::kTcp) {
    listeners.push_back(listen_on_loopback(port_));
    config_.listeners.push_back({"http://127.0.0.1", "127.0.0.1", port_, false});
  } else {
    listeners.push_back(listen_on_path(socket_path()));
    config_.listeners.push_back({"unix:" + socket_path(), socket_path(), 0, true});
  }
  auto scoreboard = base::ScoreboardMap::create(config_.threads);
  CORN_CHECK(scoreboard);
  scoreboard_ = std::move(*scoreboard);
  server_ = std::make_unique<Server>(
      config_, std::move(listeners), scoreboard_, application_, [this] { ++retiring; },
      std::move(hand_off));
  CORN_CHECK(server_->prepare());
  thread_ = std::thread([this] {
    server_->run();
    const std::lock_guard lock(mutex_);
    ended_ = true;
    changed_.notify_all();
  });
}

TestServer::~TestServer() {
  application_.gate().open();
  server_->quit();
  thread_.join();
  server_.reset();
  std::filesystem::remove_all(directory_);
}

bool TestServer::wait_until_ended() {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, kPatience, [this] { return ended_.load(); });
}

std::string Response::field(std::string_view name) const {
  std::istringstream lines(head);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t colon = line.find(':');
    if (colon != name.size() || ::strncasecmp(line.data(), name.data(), colon) != 0) continue;
    line.erase(line.find_last_not_of("\r") + 1);
    return line.substr(line.find_first_not_of(' ', colon + 1));
  }
  return {};
}

Client::Client(std::uint16_t port, int receive_buffer) {
  socket_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (receive_buffer > 0) {
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
  }
  set_patience();
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const auto* peer = reinterpret_cast<const sockaddr*>(&address);
  if (::connect(socket_.get(), peer, sizeof(address)) < 0) socket_.reset();
}

Client::Client(const std::string& socket_path) {
  socket_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  set_patience();
  const sockaddr_un address = unix_address(socket_path);
  const auto* peer = reinterpret_cast<const sockaddr*>(&address);
  if (::connect(socket_.get(), peer, sizeof(address)) < 0) socket_.reset();
}

void Client::set_patience() {
  const timeval patience{std::chrono::seconds(kPatience).count(), 0};
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
}

bool Client::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t size = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (size <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(size));
  }
  return true;
}

bool Client::fill() {
  std::array<char, 64 * 1024> piece{};
  const ssize_t size = ::recv(socket_.get(), piece.data(), piece.size(), 0);
  if (size < 0 && errno == ECONNRESET) reset_ = true;
  if (size <= 0) return false;
  buffer_.append(piece.data(), static_cast<std::size_t>(size));
  return true;
}

Response Client::read_response(bool to_head) {
  Response response;
  std::size_t end = std::string::npos;
  while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
    if (!fill()) return response;
  }
  response.head = buffer_.substr(0, end + 4);
  buffer_.erase(0, end + 4);
  std::from_chars(response.head.data() + 9, response.head.data() + 12, response.status);
  if (to_head || response.status < 200 || response.status == 204 || response.status == 304) {
    response.complete = true;
  } else if (const std::string length = response.field("Content-Length"); !length.empty()) {
    const std::size_t size = std::stoul(length);
    response.body = read(size);
    response.complete = response.body.size() == size;
  } else if (response.field("Transfer-Encoding") == "chunked") {
    for (;;) {
      while ((end = buffer_.find("\r\n")) == std::string::npos) {
        if (!fill()) return response;
      }
      const std::size_t size = std::stoul(buffer_.substr(0, end), nullptr, 16);
      buffer_.erase(0, end + 2);
      const std::string chunk = read(size + 2);
      if (chunk.size() != size + 2) return response;
      response.body.append(chunk, 0, size);
      if (size == 0) break;
    }
    response.complete = true;
  } else {
    response.body = read_to_end();
    response.complete = !reset_;
  }
  return response;
}

std::string Client::read(std::size_t size) {
  while (buffer_.size() < size && fill()) {
  }
  std::string bytes = buffer_.substr(0, size);
  buffer_.erase(0, bytes.size());
  return bytes;
}

std::string Client::read_to_end() {
  while (fill()) {
  }
  return std::exchange(buffer_, {});
}

bool Client::closed_by_peer() {
  char byte = 0;
  return buffer_.empty() && ::recv(socket_.get(), &byte, 1, 0) == 0;
}

bool Client::readable(std::chrono::milliseconds limit) {
  if (!buffer_.empty()) return true;
  pollfd item{socket_.get(), POLLIN, 0};
  return ::poll(&item, 1, static_cast<int>(limit.count())) > 0;
}

void Client::shut_down_writing() { ::shutdown(socket_.get(), SHUT_WR); }

Response Client::get(std::string_view path) {
  send(get_request(path));
  return read_response();
}

std::string get_request(std::string_view path) {
  return "GET " + std::string(path) + " HTTP/1.1\r\nHost: test\r\n\r\n";
}

bool eventually(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

std::string read_file(const std::string& path) {
  const std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

}  // namespace corn::server::testing
