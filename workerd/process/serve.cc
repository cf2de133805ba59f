// SPDX-License-Identifier: Apache-2.0
#include "workerd/process/serve.h"

#include <fcntl.h>
#include <unistd.h>

#include <utility>
#include <vector>

#include "base/log.h"
#include "base/scoreboard.h"
#include "base/unique_fd.h"
#include "workerd/process/boot.h"
#include "workerd/server/fork_fence.h"
#include "workerd/server/server.h"

namespace corn::process {
namespace {

// An inherited descriptor, which is not for programs that the application starts, nor for processes
// that it forks, while it is loaded included.
base::UniqueFd take_descriptor(int fd) {
  ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  server::close_in_forks(fd);
  return base::UniqueFd(fd);
}

std::vector<base::UniqueFd> take_listeners(const base::WorkerConfig& config) {
  std::vector<base::UniqueFd> listeners;
  for (std::size_t i = 0; i < config.listeners.size(); ++i) {
    listeners.push_back(take_descriptor(base::kFirstListenerFd + static_cast<int>(i)));
  }
  return listeners;
}

server::HandOffEnds take_hand_off(const base::WorkerConfig& config) {
  if (!config.hand_off) return {};
  const int first = base::kFirstListenerFd + static_cast<int>(config.listeners.size());
  return {take_descriptor(first), take_descriptor(first + 1)};
}

}  // namespace

base::Result<link::Estate> make_estate(const base::WorkerConfig& config) {
  std::vector<int> listeners;
  for (std::size_t i = 0; i < config.listeners.size(); ++i) {
    listeners.push_back(base::kFirstListenerFd + static_cast<int>(i));
  }
  std::vector<int> hand_off;
  if (config.hand_off) {
    const int first = base::kFirstListenerFd + static_cast<int>(listeners.size());
    hand_off = {first, first + 1};
  }
  auto estate = link::Estate::copy(config.adoption_socket, config.worker_id, base::kScoreboardFd,
                                   listeners, hand_off);
  if (estate) {
    for (const auto& listener : estate->listeners) server::close_in_forks(listener.get());
    for (const auto& end : estate->hand_off) server::close_in_forks(end.get());
  }
  return estate;
}

int serve(const base::WorkerConfig& config, link::Link& link, Control& control) {
  auto listeners = take_listeners(config);
  auto hand_off = take_hand_off(config);
  ::fcntl(base::kScoreboardFd, F_SETFD, FD_CLOEXEC);
  auto scoreboard = base::ScoreboardMap::attach(base::UniqueFd(base::kScoreboardFd));
  if (!scoreboard) return boot_failed(link, config, worker_error(scoreboard.error().message));

  auto application = load_application(config);
  if (!application) return boot_failed(link, config, application.error());

  const auto retiring = [&link] {
    base::log_info("Autorestarting worker after current request.");
    tell(link, base::Retiring{"max-requests"});
  };
  server::Server server(config, std::move(listeners), *scoreboard, **application, retiring,
                        std::move(hand_off));
  if (auto prepared = server.prepare(); !prepared) {
    return boot_failed(link, config, worker_error(prepared.error().message));
  }
  control.begin_serving(server);
  tell(link, base::Ready{});
  const int status = server.run();
  control.end_serving(status);
  base::log_info("Worker exiting (pid: {})", ::getpid());
  return status;
}

}  // namespace corn::process
