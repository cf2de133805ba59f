// SPDX-License-Identifier: Apache-2.0
#include "workerd/process/serve.h"

#include <unistd.h>

#include <string>
#include <utility>

#include "base/log.h"
#include "base/scoreboard.h"
#include "workerd/process/boot.h"
#include "workerd/runtimes/python/hooks.h"
#include "workerd/server/hand_off.h"
#include "workerd/server/server.h"

namespace corn::process {

int serve(const base::WorkerConfig& config, link::Link& link, Control& control,
          Descriptors descriptors) {
  auto scoreboard = base::ScoreboardMap::attach(std::move(descriptors.scoreboard));
  if (!scoreboard) return boot_failed(link, config, worker_error(scoreboard.error().message));
  server::HandOffEnds hand_off;
  if (!descriptors.hand_off.empty()) {
    hand_off = {std::move(descriptors.hand_off[0]), std::move(descriptors.hand_off[1])};
  }

  auto application = load_application(config);
  if (!application) return boot_failed(link, config, application.error());
  if (python::Hooks* hooks = python::Hooks::current()) {
    if (const std::string error = hooks->post_worker_init(); !error.empty()) {
      return boot_failed(link, config, worker_error(error));
    }
  }

  const auto retiring = [&link] {
    base::log_info("Autorestarting worker after current request.");
    tell(link, base::Retiring{"max-requests"});
  };
  server::Server server(config, std::move(descriptors.listeners), *scoreboard, **application,
                        retiring, std::move(hand_off));
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
