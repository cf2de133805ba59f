// SPDX-License-Identifier: Apache-2.0
#include "ctl/client.h"
#include "ctl/commands.h"
#include "ctl/render.h"

namespace corn::ctl {

Outcome run_reopen_logs(const Session& session) {
  auto client = Client::connect(session, kQuickLimit);
  if (!client) return tl::unexpected(client.error());
  const auto reopened = client->ask(&api::Arbiter::Stub::ReopenLogs, api::ReopenLogsRequest());
  if (!reopened) return tl::unexpected(reopened.error());
  if (session.json) {
    print_json(*reopened);
  } else {
    print_line("log files are opened anew");
  }
  return {};
}

}  // namespace corn::ctl
