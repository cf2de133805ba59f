// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "ctl/client.h"
#include "ctl/commands.h"
#include "ctl/render.h"
#include "ctl/text.h"

namespace corn::ctl {
namespace {

// An instance that doesn't answer holds up the list no longer than this, or --timeout if that is
// less.
constexpr std::chrono::seconds kPatience{2};

Expected<api::GetStatusResponse> status_of(const Instance& instance,
                                           std::chrono::duration<double> limit) {
  auto connection = connect_to(instance.path, limit);
  if (!connection) return tl::unexpected(std::move(connection).error());
  Client client(std::move(*connection), limit);
  return client.ask(&api::Arbiter::Stub::GetStatus, api::GetStatusRequest());
}

// {"instance": NAME, "address": ADDRESS, "error": WHY}, or with "arbiter" and "pools", as GetStatus
// has them.
std::string entry(const Instance& instance, const Expected<api::GetStatusResponse>& status) {
  std::string text = R"({"instance":)" + to_json(instance.name) + R"(,"address":)" +
                     to_json("unix:" + instance.path) + ',';
  if (status) return text + to_json(*status).substr(1);
  return text + R"("error":)" + to_json(status.error().message) + '}';
}

std::vector<Table::Cell> row(const Instance& instance,
                             const Expected<api::GetStatusResponse>& status) {
  if (!status) {
    const std::string state =
        status.error().code == ExitCode::kNotAllowed ? "(not allowed)" : "(no answer)";
    return {instance.name, "-", {state, Colour::kBad}, "-", "-", instance.path};
  }
  const std::string& state = api::ArbiterStatus::State_Name(status->arbiter().state());
  std::uint32_t ready = 0;
  std::uint32_t target = 0;
  for (const api::PoolStatus& pool : status->pools()) {
    ready += pool.ready();
    target += pool.target();
  }
  return {instance.name,
          std::to_string(status->arbiter().pid()),
          {state, colour_of_state(state)},
          std::to_string(ready) + "/" + std::to_string(target),
          duration(status->arbiter().uptime_seconds()),
          instance.path};
}

}  // namespace

Outcome run_ls(const Session& session) {
  std::chrono::duration<double> limit = kPatience;
  if (session.timeout) limit = std::min(limit, session.limit(kQuickLimit));
  const std::vector<Instance> instances = running_instances();
  if (session.json) {
    std::string list;
    for (const Instance& instance : instances) {
      list += (list.empty() ? "" : ",") + entry(instance, status_of(instance, limit));
    }
    print_line(R"({"instances":[)" + list + "]}");
    return {};
  }
  if (instances.empty()) {
    print_line("no instances are running");
    return {};
  }
  using Align = Table::Align;
  Table table({{"INSTANCE", Align::kLeft},
               {"PID", Align::kRight},
               {"STATE", Align::kLeft},
               {"READY", Align::kRight},
               {"UP", Align::kRight},
               {"SOCKET", Align::kLeft}});
  for (const Instance& instance : instances) table.add(row(instance, status_of(instance, limit)));
  table.print();
  return {};
}

}  // namespace corn::ctl
