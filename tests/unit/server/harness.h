// SPDX-License-Identifier: Apache-2.0
// A server over real loopback sockets with an application made of C++ functions, and a client that
// says exactly what goes over the wire.
#pragma once

#include <gtest/gtest.h>

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/scoreboard.h"
#include "base/unique_fd.h"
#include "base/worker_config.h"
#include "workerd/app/application.h"
#include "workerd/server/server.h"

namespace corn::server::testing {

// Nothing in a test takes longer, unless it fails.
inline constexpr std::chrono::seconds kPatience(20);

// Holds threads until it is opened, and tells how many have come.
class Gate {
 public:
  void pass();
  void open();
  // Waits until `count` have come; false after kPatience.
  bool wait_for(int count);

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int arrived_ = 0;
  bool open_ = false;
};

// Answers by path:
//   /hello          "Hello, World!\n"
//   /echo           the body, with Content-Length
//   /sum            the size of the body, read in small pieces
//   /hold           waits at gate(), then as /hello
//   /chunks/N       N pieces "piece I\n" without Content-Length
//   /big/N          N bytes in one write; /pieces/N: N bytes in pieces of 64 KiB, no Content-Length
//   /file/N         the first N bytes of a file of that size, by send_file
//   /half           reads at most 10 bytes of the body, then as /hello
//   /ignore         reads nothing, answers 200
//   /fail           fails before, /fail-late after the head is out
//   /short          announces 100 bytes, sends 10; /long: announces 5, sends 10
//   /inject         sets a field with CR LF in it; answers 500 when that is refused
//   /scheme         the scheme; /remote: the client's address
//   /streamed-hold  sends a piece, waits at gate(), sends another
class PathApplication final : public app::Application {
 public:
  void handle(app::Request& request, app::Responder& responder) override;
  void dump_stacks(int /*fd*/) override {}
  void thread_started() override { ++threads_started; }
  void thread_stopping() override { ++threads_stopped; }

  Gate& gate() { return gate_; }

  std::atomic<int> handled{0};
  std::atomic<int> threads_started{0};
  std::atomic<int> threads_stopped{0};
  std::atomic<int> broken_bodies{0};
  std::atomic<int> failed_writes{0};

 private:
  Gate gate_;
};

// Tests that hold for every worker class are written once.
inline const auto kBothClasses =
    ::testing::Values(base::WorkerClass::kSync, base::WorkerClass::kThreads);
std::string class_name(const ::testing::TestParamInfo<base::WorkerClass>& info);

// A configuration with short, but not hasty, limits.
base::WorkerConfig test_config(base::WorkerClass worker_class, std::uint32_t threads = 3);

enum class Transport { kTcp, kUnix };

class TestServer {
 public:
  explicit TestServer(base::WorkerConfig config, Transport transport = Transport::kTcp,
                      HandOffEnds hand_off = {});
  // Quits unless it has ended; opens the application's gate.
  ~TestServer();
  TestServer(const TestServer&) = delete;
  TestServer& operator=(const TestServer&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] std::string socket_path() const { return directory_ + "/socket"; }
  [[nodiscard]] const std::string& directory() const { return directory_; }
  Server& server() { return *server_; }
  PathApplication& application() { return application_; }
  base::ScoreboardMap& scoreboard() { return scoreboard_; }
  std::atomic<int> retiring{0};

  // True when run() has returned within kPatience.
  bool wait_until_ended();
  [[nodiscard]] bool ended() const { return ended_.load(); }

 private:
  base::WorkerConfig config_;
  std::string directory_;
  std::uint16_t port_ = 0;
  base::ScoreboardMap scoreboard_;
  PathApplication application_;
  std::unique_ptr<Server> server_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::atomic<bool> ended_{false};
  std::thread thread_;
};

struct Response {
  int status = 0;
  std::string head;
  std::string body;
  bool complete = false;  // ended as its framing says

  [[nodiscard]] std::string field(std::string_view name) const;
};

// Blocking, with kPatience for everything.
class Client {
 public:
  explicit Client(std::uint16_t port, int receive_buffer = 0);
  explicit Client(const std::string& socket_path);

  // False when the connection is broken.
  bool send(std::string_view bytes);
  // Reads one response and leaves what follows for the next; `to_head`: the request was HEAD.
  Response read_response(bool to_head = false);
  // Exactly `size` bytes, fewer at the end of the connection.
  std::string read(std::size_t size);
  // Everything up to the end of the connection.
  std::string read_to_end();
  // The server closes without sending anything more: true; anything else: false.
  bool closed_by_peer();
  // Whether there is anything to read, the end included, within `limit`.
  bool readable(std::chrono::milliseconds limit);
  void shut_down_writing();
  void close() { socket_.reset(); }
  [[nodiscard]] bool reset() const { return reset_; }

  Response get(std::string_view path);

 private:
  void set_patience();
  bool fill();

  base::UniqueFd socket_;
  std::string buffer_;
  bool reset_ = false;
};

std::string get_request(std::string_view path);

// Waits until `condition` holds; false after kPatience. For what has no event to wait for.
bool eventually(const std::function<bool()>& condition);

std::string read_file(const std::string& path);

}  // namespace corn::server::testing
