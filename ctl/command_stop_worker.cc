// SPDX-License-Identifier: Apache-2.0
// restart and kill.
#include <string>

#include "ctl/client.h"
#include "ctl/commands.h"
#include "ctl/render.h"
#include "ctl/text.h"

namespace corn::ctl {

Outcome run_stop_worker(const Session& session, const StopWorkerArguments& arguments) {
  auto client = Client::connect(session, kWaitingLimit);
  if (!client) return tl::unexpected(client.error());
  api::StopWorkerRequest request;
  request.set_pid(arguments.pid);
  request.set_now(arguments.now);
  const auto stopped = client->call(&api::Arbiter::Stub::StopWorker, request);
  if (!stopped) return tl::unexpected(stopped.error());
  if (session.json) {
    print_json(*stopped);
  } else if (stopped->text().empty()) {
    print_line("worker " + std::to_string(arguments.pid) + " replaced");
  } else {
    print_line(harmless(stopped->text()));
  }
  return {};
}

}  // namespace corn::ctl
