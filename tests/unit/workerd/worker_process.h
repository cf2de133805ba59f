// SPDX-License-Identifier: Apache-2.0
// A real workerd, started as arbiterd starts it, and a client of it. Ended, if need be by SIGKILL,
// with the object.
#pragma once

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/channel.h"
#include "base/scoreboard.h"
#include "base/unique_fd.h"
#include "base/worker_config.h"

extern char** environ;  // NOLINT(readability-redundant-declaration): environ(7)

namespace corn::testing {

inline constexpr std::chrono::milliseconds kPatience{30000};  // until a test gives up waiting

class WorkerProcess {
 public:
  WorkerProcess() {
    char pattern[] = "/tmp/corn-worker-XXXXXX";
    directory_ = ::mkdtemp(pattern);
    config.instance = "test";
    config.working_directory = CORN_SOURCE_DIR "/tests/apps";
    config.error_log = directory_ + "/error.log";
    config.graceful_timeout = base::Milliseconds(10000);
  }
  ~WorkerProcess() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      wait();
    }
    std::filesystem::remove_all(directory_);
  }
  WorkerProcess(const WorkerProcess&) = delete;
  WorkerProcess& operator=(const WorkerProcess&) = delete;

  // Starts the program with `config`, serving on a port of its own.
  bool start() {
    listener_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), size) < 0 ||
        ::listen(listener_.get(), 128) < 0 ||
        ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size) < 0) {
      return false;
    }
    port_ = ntohs(address.sin_port);
    if (config.role == base::WorkerRole::kServe) {
      config.listeners = {{"http://127.0.0.1", "127.0.0.1", port_, false}};
    }
    auto pair = base::Channel::make_pair();
    auto board = base::ScoreboardMap::create(std::max(1U, config.threads));
    if (!pair || !board) return false;
    channel_ = std::move(pair->first);
    scoreboard_ = std::move(*board);
    return channel_.send(base::Configure{config}) && spawn(pair->second.descriptor());
  }

  // The next message, of this type; nothing when another one comes, or none.
  template <typename T>
  std::optional<T> receive() {
    struct pollfd entry = {channel_.descriptor(), POLLIN, 0};
    if (::poll(&entry, 1, static_cast<int>(kPatience.count())) != 1) return std::nullopt;
    auto message = channel_.receive();
    if (!message || !*message || !std::holds_alternative<T>(**message)) return std::nullopt;
    return std::get<T>(std::move(**message));
  }
  bool wait_until_ready() { return receive<base::Hello>() && receive<base::Ready>(); }
  bool send(const base::Message& message) { return static_cast<bool>(channel_.send(message)); }
  bool send(const base::Message& message, const std::vector<int>& descriptors) {
    return static_cast<bool>(channel_.send(message, descriptors));
  }
  void leave() { channel_ = base::Channel(); }  // as arbiterd does that is killed
  void signal(int number) const { ::kill(pid_, number); }

  // The wait status; -1 when it doesn't end.
  int wait() {
    const auto give_up = std::chrono::steady_clock::now() + kPatience;
    const base::UniqueFd pidfd(static_cast<int>(::syscall(434 /* pidfd_open */, pid_, 0)));
    struct pollfd entry = {pidfd.get(), POLLIN, 0};
    const auto left = give_up - std::chrono::steady_clock::now();
    ::poll(&entry, 1, static_cast<int>(std::chrono::ceil<base::Milliseconds>(left).count()));
    int status = -1;
    if (::waitpid(pid_, &status, WNOHANG) != pid_) return -1;
    pid_ = -1;
    return status;
  }
  // The exit status; -1 for any other end.
  int wait_exit() {
    const int status = wait();
    return status >= 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  // A connection to the worker.
  [[nodiscard]] base::UniqueFd connect() const {
    base::UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port_);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const timeval limit = {kPatience.count() / 1000, 0};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) < 0) fd.reset();
    return fd;
  }
  static void send_text(const base::UniqueFd& fd, std::string_view text) {
    [[maybe_unused]] const ssize_t n = ::send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL);
  }
  // Everything up to the end of the connection.
  static std::string read_all(const base::UniqueFd& fd) {
    std::string all;
    char buffer[16384];
    for (;;) {
      const ssize_t n = ::recv(fd.get(), buffer, sizeof buffer, 0);
      if (n <= 0) return all;
      all.append(buffer, static_cast<std::size_t>(n));
    }
  }
  // One answer: up to its Content-Length, or to the end of the connection where it has none.
  static std::string read_answer(const base::UniqueFd& fd) {
    std::string answer;
    char buffer[16384];
    std::size_t wanted = std::string::npos;
    while (answer.size() < wanted) {
      const ssize_t n = ::recv(fd.get(), buffer, sizeof buffer, 0);
      if (n <= 0) break;
      answer.append(buffer, static_cast<std::size_t>(n));
      const auto end = answer.find("\r\n\r\n");
      const auto length = answer.find("\r\nContent-Length: ");
      if (end != std::string::npos && length < end)
        wanted = end + 4 + std::stoul(answer.substr(length + 18));
    }
    return answer;
  }

  // The whole answer to a GET on a connection of its own.
  std::string get(const std::string& target) const {
    const base::UniqueFd fd = connect();
    send_text(fd, "GET " + target + " HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    return read_answer(fd);
  }
  // Its body.
  std::string body(const std::string& target) const {
    const std::string answer = get(target);
    const auto end = answer.find("\r\n\r\n");
    return end == std::string::npos ? std::string() : answer.substr(end + 4);
  }

  // The error log, once `text` stands in it; what there is when it doesn't come.
  std::string log_with(const std::string& text) const {
    const auto give_up = std::chrono::steady_clock::now() + kPatience;
    for (;;) {
      std::string log = read_file(config.error_log);
      if (log.find(text) != std::string::npos || std::chrono::steady_clock::now() > give_up)
        return log;
      ::poll(nullptr, 0, 5);
    }
  }
  static std::string read_file(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] int listener_descriptor() const { return listener_.get(); }
  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] const std::string& directory() const { return directory_; }
  [[nodiscard]] base::ScoreboardView scoreboard() const { return scoreboard_.read(true); }

  base::WorkerConfig config;
  std::vector<std::string> environment;  // beside that of the test: "NAME=VALUE"

 private:
  bool spawn(int channel) {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    // Out of the way of the numbers they are to have.
    constexpr int kAway = 100;
    const base::UniqueFd away[] = {
        base::UniqueFd(::fcntl(channel, F_DUPFD_CLOEXEC, kAway)),
        base::UniqueFd(::fcntl(scoreboard_.descriptor(), F_DUPFD_CLOEXEC, kAway)),
        base::UniqueFd(::fcntl(listener_.get(), F_DUPFD_CLOEXEC, kAway))};
    posix_spawn_file_actions_adddup2(&actions, away[0].get(), base::kChannelFd);
    posix_spawn_file_actions_adddup2(&actions, away[1].get(), base::kScoreboardFd);
    posix_spawn_file_actions_adddup2(&actions, away[2].get(), base::kFirstListenerFd);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    std::string program = CORN_BINARY_DIR "/bin/workerd";
    char* arguments[] = {program.data(), nullptr};
    std::vector<char*> variables;
    for (char** variable = environ; *variable != nullptr; ++variable)
      variables.push_back(*variable);
    for (std::string& variable : environment) variables.push_back(variable.data());
    variables.push_back(nullptr);
    const int error =
        ::posix_spawn(&pid_, program.c_str(), &actions, &attributes, arguments, variables.data());
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (error != 0) pid_ = -1;
    return error == 0;
  }

  std::string directory_;
  base::UniqueFd listener_;
  base::Channel channel_;
  base::ScoreboardMap scoreboard_;
  std::uint16_t port_ = 0;
  pid_t pid_ = -1;
};

}  // namespace corn::testing
