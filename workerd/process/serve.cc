// SPDX-License-Identifier: Apache-2.0
#include "workerd/process/serve.h"

#include <unistd.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/scoreboard.h"
#include "workerd/process/boot.h"
#include "workerd/runtimes/python/code_files.h"
#include "workerd/runtimes/python/hooks.h"
#include "workerd/server/hand_off.h"
#include "workerd/server/server.h"

namespace corn::process {

int serve(const base::WorkerConfig& config, link::Link& link, Control& control,
          Descriptors descriptors, base::LogOutlets outlets) {
  auto attached = base::ScoreboardMap::attach(std::move(descriptors.scoreboard));
  if (!attached) return boot_failed(link, config, worker_error(attached.error().message));
  // What others than this function see lies not on its stack, which greenlets may be on meanwhile.
  const auto scoreboard = std::make_unique<base::ScoreboardMap>(std::move(*attached));
  server::HandOffEnds hand_off;
  if (!descriptors.hand_off.empty()) {
    hand_off = {std::move(descriptors.hand_off[0]), std::move(descriptors.hand_off[1])};
  }

  python::CodeFiles* files = python::CodeFiles::current();
  const auto tell_of = [&link](std::vector<std::string> paths) {
    tell_files(link, std::move(paths));
  };
  auto application = load_application(config);
  if (files != nullptr) files->tell_now(tell_of);
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
  if (!config.syslog.access) outlets.syslog.reset();
  const auto server = std::make_unique<server::Server>(config, std::move(descriptors.listeners),
                                                       *scoreboard, **application, retiring,
                                                       std::move(hand_off), std::move(outlets));
  if (auto prepared = server->prepare(std::move(descriptors.access_log)); !prepared) {
    return boot_failed(link, config, worker_error(prepared.error().message));
  }
  server->on_close([&link, &config](bool nobody_left) {
    if (nobody_left || !config.keeps_sockets) close_copies(link.release_listeners());
  });
  control.begin_serving(*server);
  if (files != nullptr) files->tell_always(tell_of);
  tell(link, base::Ready{});
  const int status = server->run();
  if (files != nullptr) files->stop();
  control.end_serving(status);
  base::log_info("Worker exiting (pid: {})", ::getpid());
  return status;
}

}  // namespace corn::process
