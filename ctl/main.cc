// SPDX-License-Identifier: Apache-2.0
// cornctl: the operator's side of an arbiter's control API.
#include <unistd.h>

#include <cstdio>
#include <string>
#include <vector>

#include "ctl/cli.h"
#include "ctl/outcome.h"
#include "ctl/render.h"
#include "ctl/text.h"

namespace {

using corn::ctl::Expected;
using corn::ctl::Outcome;
using corn::ctl::Task;

Outcome run(const std::vector<std::string>& arguments) {
  const Expected<Task> task = corn::ctl::read_command_line(arguments);
  if (!task) return tl::unexpected(task.error());
  return (*task)();
}

}  // namespace

int main(int argc, char** argv) {
  Outcome outcome = run({argv + 1, argv + argc});
  if (const Outcome written = corn::ctl::finish_output(); outcome && !written) outcome = written;
  int status = 0;
  if (!outcome) {
    status = static_cast<int>(outcome.error().code);
    const std::string message = corn::ctl::harmless(outcome.error().message);
    if (!message.empty()) {
      std::fprintf(stderr, "cornctl: %s%s", message.c_str(), message.ends_with('\n') ? "" : "\n");
    }
    std::fflush(stderr);
  }
  // Everything is written; taking gRPC down in order would take longer than the call.
  ::_exit(status);
}
