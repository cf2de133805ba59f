// SPDX-License-Identifier: Apache-2.0
#include <string>

#include "ctl/client.h"
#include "ctl/commands.h"
#include "ctl/render.h"
#include "ctl/text.h"

namespace corn::ctl {
namespace {

std::string plural(std::uint64_t number, const std::string& noun) {
  return std::to_string(number) + " " + noun + (number == 1 ? "" : "s");
}

void print_arbiter(const api::ArbiterStatus& arbiter) {
  const std::string& state = api::ArbiterStatus::State_Name(arbiter.state());
  const std::string rest = "  pid " + std::to_string(arbiter.pid()) + "  up " +
                           duration(arbiter.uptime_seconds()) + "  " +
                           plural(arbiter.reloads(), "reload") + "  corn " + arbiter.version();
  const std::size_t taken = width(rest) + state.size() + 2;
  const std::string name =
      fit(harmless(arbiter.instance()), taken < columns() ? columns() - taken : 1);
  print_line(name + "  " + coloured(state, colour_of_state(state)) + harmless(rest));
}

std::string listeners(const api::PoolStatus& pool) {
  std::string text;
  for (const api::ListenerStatus& listener : pool.listeners()) {
    text += (text.empty() ? "" : ", ") + listener.address();
    if (listener.backlog_used() != 0) {
      text += " (" + std::to_string(listener.backlog_used()) + " of " +
              std::to_string(listener.backlog_limit()) + " waiting)";
    }
  }
  return text.empty() ? "nowhere" : text;
}

void print_detail(const std::string& text) {
  print_line("  " + fit(harmless(text), columns() - 2));
}

void print_workers(const api::PoolStatus& pool) {
  using Align = Table::Align;
  Table table({{"PID", Align::kRight},
               {"STATE", Align::kLeft},
               {"GEN", Align::kRight},
               {"AGE", Align::kRight},
               {"REQUESTS", Align::kRight},
               {"IN", Align::kRight},
               {"BUSY", Align::kRight},
               {"RSS", Align::kRight},
               {"LAST EVENT", Align::kLeft}},
              2);
  for (const api::WorkerStatus& worker : pool.workers()) {
    const std::string& state = api::WorkerStatus::State_Name(worker.state());
    table.add({worker.pid() == 0 ? "-" : std::to_string(worker.pid()),
               {state, colour_of_state(state)},
               std::to_string(worker.generation()),
               duration(worker.age_seconds()),
               count(worker.requests()),
               std::to_string(worker.in_flight()),
               fixed(worker.busy() * 100, 0) + "%",
               bytes(worker.rss_bytes()),
               worker.last_event()});
  }
  table.print();
}

void print_pool(const api::PoolStatus& pool) {
  const std::string& state = api::PoolStatus::State_Name(pool.state());
  print_line("");
  const std::string name = "pool " + fit(harmless(pool.name()), columns() / 2);
  const std::string application =
      "  " + harmless(pool.application()) + " (" + harmless(pool.worker_class()) + ")";
  print_line(name + "  " + coloured(state, colour_of_state(state)) +
             fit(application, columns() - width(name) - 2 - state.size()));
  print_detail("listening at " + listeners(pool));
  std::string workers = std::to_string(pool.ready()) + " of " + plural(pool.target(), "worker") +
                        " ready  generation " + std::to_string(pool.generation());
  if (pool.mixed()) workers += " (mixed: the last reload failed half-way)";
  print_detail(workers);
  std::string requests = plural(pool.requests_total(), "request") + "  " +
                         plural(pool.errors_total(), "error") + "  " +
                         plural(pool.restarts_total(), "restart");
  if (pool.requests_total() != 0) {
    requests += "  latency p50 " + milliseconds(pool.latency_p50_ms()) + ", p99 " +
                milliseconds(pool.latency_p99_ms());
  }
  print_detail(requests);
  if (pool.workers_size() != 0) print_workers(pool);
}

}  // namespace

Outcome run_status(const Session& session, const StatusArguments& arguments) {
  auto client = Client::connect(session, kQuickLimit);
  if (!client) return tl::unexpected(client.error());
  api::GetStatusRequest request;
  request.set_pool(arguments.pool);
  const auto status = client->ask(&api::Arbiter::Stub::GetStatus, request);
  if (!status) return tl::unexpected(status.error());
  if (session.json) {
    print_json(*status);
    return {};
  }
  print_arbiter(status->arbiter());
  for (const api::PoolStatus& pool : status->pools()) print_pool(pool);
  return {};
}

}  // namespace corn::ctl
