// SPDX-License-Identifier: Apache-2.0
// dump, top, logs: named here so that nobody takes them for typing errors, and refused.
#include <string>

#include "ctl/client.h"
#include "ctl/commands.h"
#include "ctl/render.h"
#include "ctl/text.h"

namespace corn::ctl {

Outcome run_dump(const Session& session, const DumpArguments& arguments) {
  auto client = Client::connect(session, kQuickLimit);
  if (!client) return tl::unexpected(client.error());
  api::DumpWorkerRequest request;
  request.set_pid(arguments.pid);
  const auto dumped = client->call(&api::Arbiter::Stub::DumpWorker, request);
  if (!dumped) return tl::unexpected(dumped.error());
  if (session.json) {
    print_json(*dumped);
    return {};
  }
  for (const api::DumpWorkerResponse::Thread& thread : dumped->threads()) {
    std::string line = "thread " + std::to_string(thread.thread_id()) + " " + thread.name();
    if (thread.has_request()) {
      line += " in " + thread.request().method() + " " + thread.request().target() + " for " +
              fixed(thread.request().running_seconds(), 1) + " s";
    }
    print_line(harmless(line));
    for (const std::string& stack : {thread.python_stack(), thread.native_stack()}) {
      if (!stack.empty()) print_line(harmless(stack));
    }
  }
  return {};
}

Outcome run_later(const std::string& command) {
  return fail(ExitCode::kFailed, "the command '" + command +
                                     "' is not in this version of Corn (" CORN_VERSION ") yet");
}

}  // namespace corn::ctl
