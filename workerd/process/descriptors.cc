// SPDX-License-Identifier: Apache-2.0
#include "workerd/process/descriptors.h"

#include <fcntl.h>

#include <utility>

#include "workerd/server/fork_fence.h"

namespace corn::process {
namespace {

base::UniqueFd fence(base::UniqueFd descriptor) {
  ::fcntl(descriptor.get(), F_SETFD, FD_CLOEXEC);
  server::close_in_forks(descriptor.get());
  return descriptor;
}

std::vector<int> numbers(const std::vector<base::UniqueFd>& descriptors) {
  std::vector<int> all;
  all.reserve(descriptors.size());
  for (const base::UniqueFd& descriptor : descriptors) all.push_back(descriptor.get());
  return all;
}

}  // namespace

base::Result<Descriptors> Descriptors::take(const base::WorkerConfig& config,
                                            Inheritance& inheritance) {
  const auto logs = config.log_files ? base::log_paths(config) : std::vector<std::string>();
  const std::size_t wanted = 1 + config.listeners.size() + (config.hand_off ? 2 : 0) + logs.size() +
                             (config.adoption_directory ? 1 : 0) + (config.departures ? 1 : 0);
  std::vector<base::UniqueFd>& given = inheritance.descriptors;
  if (!inheritance.forked) {
    for (std::size_t i = 0; i < wanted; ++i) {
      given.emplace_back(base::kScoreboardFd + static_cast<int>(i));
    }
  }
  if (given.size() != wanted) {
    return base::fail("the worker was given " + std::to_string(given.size()) + " descriptors of " +
                      std::to_string(wanted));
  }
  Descriptors taken;
  auto next = given.begin();
  taken.scoreboard = std::move(*next++);
  ::fcntl(taken.scoreboard.get(), F_SETFD, FD_CLOEXEC);
  for (std::size_t i = 0; i < config.listeners.size(); ++i) {
    taken.listeners.push_back(fence(std::move(*next++)));
  }
  for (int end = 0; config.hand_off && end < 2; ++end) {
    taken.hand_off.push_back(fence(std::move(*next++)));
  }
  for (const std::string& path : logs) {
    const bool is_error_log = path == config.error_log && !taken.error_log;
    base::UniqueFd& log = is_error_log ? taken.error_log : taken.access_log;
    log = std::move(*next++);
    ::fcntl(log.get(), F_SETFD, FD_CLOEXEC);
  }
  if (config.adoption_directory) taken.adoption_directory = fence(std::move(*next++));
  if (config.departures) taken.departures = fence(std::move(*next++));
  given.clear();
  return taken;
}

base::Result<link::Estate> Descriptors::make_estate(const base::WorkerConfig& config) {
  auto estate = link::Estate::copy(config.adoption_socket, config.worker_id, scoreboard.get(),
                                   numbers(listeners), numbers(hand_off));
  if (estate) {
    for (const auto& listener : estate->listeners) server::close_in_forks(listener.get());
    for (const auto& end : estate->hand_off) server::close_in_forks(end.get());
    estate->directory = std::move(adoption_directory);
    estate->departures = std::move(departures);
  }
  return estate;
}

void close_copies(std::vector<base::UniqueFd> listeners) {
  for (const base::UniqueFd& listener : listeners) server::open_across_forks(listener.get());
  listeners.clear();
}

}  // namespace corn::process
