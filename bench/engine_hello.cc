// SPDX-License-Identifier: Apache-2.0
// The engine with an application that costs nothing, to be driven by a load generator: what a
// request costs before any runtime. `engine_hello [PORT [THREADS]]`; ends on SIGTERM or SIGINT.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <utility>
#include <vector>

#include "base/scoreboard.h"
#include "workerd/server/server.h"

namespace {

class Hello final : public corn::app::Application {
 public:
  void handle(corn::app::Request& /*request*/, corn::app::Responder& responder) override {
    static constexpr std::array<corn::http::Field, 2> kFields{
        {{"Content-Type", "text/plain"}, {"Content-Length", "14"}}};
    if (!responder.start("200 OK", kFields)) return;
    static_cast<void>(responder.write("Hello, World!\n", true));  // a client that went away
    responder.finish();
  }
  void dump_stacks(int /*fd*/) override {}
};

corn::base::UniqueFd listen_on(std::uint16_t port) {
  corn::base::UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) < 0 ||
      ::listen(fd.get(), 1024) < 0) {
    std::perror("cannot listen");
    std::exit(1);
  }
  return fd;
}

}  // namespace

int main(int argc, char** argv) {
  const auto port = static_cast<std::uint16_t>(argc > 1 ? std::atoi(argv[1]) : 8000);
  corn::base::WorkerConfig config;
  config.threads = static_cast<std::uint32_t>(argc > 2 ? std::atoi(argv[2]) : 1);
  if (config.threads > 1) config.worker_class = corn::base::WorkerClass::kThreads;
  if (argc > 3) config.access_log = argv[3];
  config.listeners.push_back({"http://127.0.0.1", "127.0.0.1", port, false});

  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigprocmask(SIG_BLOCK, &signals, nullptr);

  auto scoreboard = corn::base::ScoreboardMap::create(config.threads);
  if (!scoreboard) return 1;
  std::vector<corn::base::UniqueFd> listeners;
  listeners.push_back(listen_on(port));
  Hello application;
  corn::server::Server server(config, std::move(listeners), *scoreboard, application, {});
  if (auto prepared = server.prepare(); !prepared) {
    std::fprintf(stderr, "%s\n", prepared.error().message.c_str());
    return 1;
  }
  std::thread ender([&server, &signals] {
    int signal = 0;
    sigwait(&signals, &signal);
    server.drain(std::chrono::seconds(5), true);
  });
  const int status = server.run();
  ender.join();
  return status;
}
