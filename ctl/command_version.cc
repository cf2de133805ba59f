// SPDX-License-Identifier: Apache-2.0
#include <string>

#include "ctl/client.h"
#include "ctl/commands.h"
#include "ctl/render.h"
#include "ctl/text.h"

namespace corn::ctl {
namespace {

Expected<api::ArbiterStatus> running_arbiter(const Session& session) {
  auto client = Client::connect(session, kQuickLimit);
  if (!client) return tl::unexpected(client.error());
  const auto status = client->ask(&api::Arbiter::Stub::GetStatus, api::GetStatusRequest());
  if (!status) return tl::unexpected(status.error());
  return status->arbiter();
}

}  // namespace

Outcome run_version(const Session& session) {
  const auto arbiter = running_arbiter(session);
  // Nobody has to run for cornctl to know its own version; one that was named should.
  const bool named = !session.control.empty() || !session.instance.empty();
  if (!arbiter && named) return tl::unexpected(arbiter.error());
  if (session.json) {
    std::string versions = R"({"version":)" + to_json(CORN_VERSION);
    if (arbiter) versions += R"(,"arbiter":)" + to_json(arbiter->version());
    print_line(versions + '}');
    return {};
  }
  print_line("cornctl " CORN_VERSION);
  if (arbiter) {
    print_line("arbiter " + harmless(arbiter->version()) + " (" + harmless(arbiter->instance()) +
               ", pid " + std::to_string(arbiter->pid()) + ")");
  }
  return {};
}

}  // namespace corn::ctl
