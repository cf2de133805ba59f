// SPDX-License-Identifier: Apache-2.0
#include <string>

#include "ctl/client.h"
#include "ctl/commands.h"
#include "ctl/render.h"
#include "ctl/text.h"

namespace corn::ctl {
namespace {

using Thread = api::DumpWorkerResponse::Thread;

// "thread 4711 corn-app-0 (S futex_wait): GET /report for 12.3 s".
std::string heading(const Thread& thread) {
  std::string line = "thread " + std::to_string(thread.thread_id());
  if (!thread.name().empty()) line += " " + thread.name();
  line += " (" + thread.state();
  if (!thread.wait_channel().empty()) line += " " + thread.wait_channel();
  line += ")";
  if (thread.has_request()) {
    line += ": " + thread.request().method() + " " + thread.request().target() + " for " +
            fixed(thread.request().running_seconds(), 1) + " s";
  } else if (thread.has_last_request()) {
    line += ": idle, last " + thread.last_request().method() + " " + thread.last_request().target();
  }
  return line;
}

}  // namespace

Outcome run_dump(const Session& session, const DumpArguments& arguments) {
  auto client = Client::connect(session, kQuickLimit);
  if (!client) return tl::unexpected(client.error());
  api::DumpWorkerRequest request;
  request.set_pid(arguments.pid);
  const auto dumped = client->ask(&api::Arbiter::Stub::DumpWorker, request);
  if (!dumped) return tl::unexpected(dumped.error());
  if (session.json) {
    print_json(*dumped);
    return {};
  }
  if (!dumped->text().empty()) {
    print_line("worker " + std::to_string(dumped->pid()) + ": " + harmless(dumped->text()));
  }
  for (const Thread& thread : dumped->threads()) {
    // One line each: a newline in a thread's name is not worth a line.
    std::string line = heading(thread);
    for (char& c : line) {
      if (c == '\n') c = ' ';
    }
    print_line(harmless(line));
    for (const std::string& stack : {thread.python_stack(), thread.native_stack()}) {
      if (!stack.empty()) print_line(harmless(stack));
    }
  }
  return {};
}

}  // namespace corn::ctl
