// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <string>
#include <thread>

#include "ctl/client.h"
#include "ctl/commands.h"
#include "ctl/discovery.h"
#include "ctl/render.h"
#include "ctl/text.h"

namespace corn::ctl {
namespace {

using Clock = std::chrono::steady_clock;

// Between two looks at whether the new program has come up.
constexpr std::chrono::milliseconds kPause{50};

// Workers of before are gone, and nothing is under way any more.
bool is_settled(const api::GetStatusResponse& status) {
  if (status.arbiter().state() == api::ArbiterStatus::RELOADING) return false;
  return std::ranges::none_of(status.pools(), [](const api::PoolStatus& pool) {
    return std::ranges::any_of(pool.workers(), [](const api::WorkerStatus& worker) {
      return worker.state() == api::WorkerStatus::DRAINING ||
             worker.state() == api::WorkerStatus::STOPPING;
    });
  });
}

// The status once the arbiter has been upgraded more than `before` times and has reloaded. The
// connection ends with the old program, so every look makes its own.
Expected<api::GetStatusResponse> await_upgrade(const Client& client, std::uint64_t before,
                                               Clock::time_point deadline) {
  for (;;) {
    const std::chrono::duration<double> left = deadline - Clock::now();
    if (left.count() <= 0) {
      return fail(ExitCode::kTimedOut,
                  "the new program has not finished within the time limit; cornctl status shows "
                  "how far it is");
    }
    if (auto connection = connect_to(client.path(), left)) {
      Client other(std::move(*connection), left);
      auto status = other.call(&api::Arbiter::Stub::GetStatus, api::GetStatusRequest());
      if (status && status->arbiter().upgrades() > before && is_settled(*status)) return status;
    }
    std::this_thread::sleep_for(kPause);
  }
}

// What the history after `sequence` says of failures; empty if nothing.
Expected<std::string> find_failure(const Client& client, std::uint64_t sequence) {
  auto connection = connect_to(client.path(), std::chrono::seconds(5));
  if (!connection) return tl::unexpected(connection.error());
  Client other(std::move(*connection), std::chrono::seconds(5));
  api::WatchEventsRequest request;
  request.set_after_sequence(sequence);
  grpc::ClientContext context;
  other.limit(context);
  const auto stream = other.arbiter().WatchEvents(&context, request);
  std::string failure;
  api::Event event;
  while (stream->Read(&event)) {
    if (event.kind() == api::Event::UPGRADE_FAILED) failure = event.text();
    if (event.kind() == api::Event::RELOAD_FAILED) {
      failure = "the arbiter was upgraded, but workers could not be: " + event.text();
    }
  }
  if (const grpc::Status status = stream->Finish(); !status.ok()) {
    return tl::unexpected(other.failure(status, context));
  }
  return failure;
}

}  // namespace

Outcome run_upgrade(const Session& session) {
  const auto limit = session.limit(kWaitingLimit);
  const auto deadline = Clock::now() + std::chrono::duration_cast<Clock::duration>(limit);
  auto client = Client::connect(session, kWaitingLimit);
  if (!client) return tl::unexpected(client.error());
  const auto before = client->ask(&api::Arbiter::Stub::GetStatus, api::GetStatusRequest());
  if (!before) return tl::unexpected(before.error());
  const auto upgraded = client->call(&api::Arbiter::Stub::Upgrade, api::UpgradeRequest());
  if (!upgraded) return tl::unexpected(upgraded.error());

  const auto after = await_upgrade(*client, before->arbiter().upgrades(), deadline);
  if (!after) return tl::unexpected(after.error());
  const auto failure = find_failure(*client, before->arbiter().revision());
  if (!failure) return tl::unexpected(failure.error());
  if (!failure->empty()) return fail(ExitCode::kFailed, *failure);
  if (session.json) {
    print_json(*upgraded);
  } else {
    print_line(harmless(upgraded->version_before() + " -> " + upgraded->version_after()));
  }
  return {};
}

}  // namespace corn::ctl
