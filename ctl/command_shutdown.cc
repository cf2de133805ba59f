// SPDX-License-Identifier: Apache-2.0
#include "ctl/client.h"
#include "ctl/commands.h"
#include "ctl/render.h"

namespace corn::ctl {

Outcome run_shutdown(const Session& session, const ShutdownArguments& arguments) {
  auto client = Client::connect(session, kQuickLimit);
  if (!client) return tl::unexpected(client.error());
  api::ShutdownRequest request;
  request.set_quick(arguments.quick);
  const auto begun = client->ask(&api::Arbiter::Stub::Shutdown, request);
  if (!begun) return tl::unexpected(begun.error());
  if (session.json) {
    print_json(*begun);
  } else {
    print_line(arguments.quick ? "shutting down at once"
                               : "shutting down when requests have ended");
  }
  return {};
}

}  // namespace corn::ctl
