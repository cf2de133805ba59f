// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cctype>
#include <string>

#include "ctl/client.h"
#include "ctl/commands.h"
#include "ctl/render.h"
#include "ctl/text.h"

namespace corn::ctl {
namespace {

// "WORKER_EXITED" as "worker exited".
std::string words(std::string name) {
  std::ranges::transform(name, name.begin(), [](char byte) {
    return byte == '_' ? ' ' : static_cast<char>(std::tolower(static_cast<unsigned char>(byte)));
  });
  return name;
}

Colour colour_of(api::Event::Kind kind) {
  constexpr std::array kGood{api::Event::WORKER_READY, api::Event::RELOAD_SUCCEEDED,
                             api::Event::POOL_RECOVERED};
  constexpr std::array kBad{api::Event::WORKER_STUCK, api::Event::RELOAD_FAILED,
                            api::Event::POOL_DEGRADED, api::Event::REFUSED};
  if (std::ranges::find(kGood, kind) != kGood.end()) return Colour::kGood;
  return std::ranges::find(kBad, kind) != kBad.end() ? Colour::kBad : Colour::kNone;
}

std::string padded(const std::string& text, std::size_t wanted, bool right = false) {
  const std::string padding(wanted - std::min(wanted, width(text)), ' ');
  return right ? padding + text : text + padding;
}

// "in GET /report; 1.2 s of CPU time, at most 45 MiB"; empty for all but ends.
std::string last_state(const api::Event& event) {
  std::string text;
  if (!event.request().empty()) {
    text = (event.in_request() ? "in " : "last request ") + event.request();
  }
  if (event.has_exit() && event.exit().max_rss_bytes() > 0) {
    text += (text.empty() ? "" : "; ") + fixed(event.exit().cpu_seconds(), 1) +
            " s of CPU time, at most " + bytes(event.exit().max_rss_bytes());
  }
  return text;
}

//    12  01-31 05:00:33  worker exited     4711  crashed(SEGV): killed by signal SEGV
void print_event(const api::Event& event, bool whole, bool flush) {
  const std::string head =
      padded(std::to_string(event.sequence()), 5, true) + "  " + date_time(event.time()) + "  ";
  const std::string kind = padded(words(api::Event::Kind_Name(event.kind())), 16);
  std::string rest = "  " + padded(event.pid() == 0 ? "" : std::to_string(event.pid()), 7, true);
  rest += "  ";
  // The pool that a command line without a settings file makes is the only one.
  std::string text = event.pool().empty() || event.pool() == "default" ? "" : event.pool() + ": ";
  if (!event.cause().empty()) text += event.cause() + (event.text().empty() ? "" : ": ");
  text = text + event.text();
  if (const std::string state = last_state(event); whole && !state.empty()) text += "\n" + state;
  text = harmless(text);
  const std::size_t taken = width(head) + width(kind) + width(rest);
  const std::string first = whole ? text.substr(0, text.find('\n'))
                                  : fit(text, taken < columns() ? columns() - taken : 1);
  std::string line = head + coloured(kind, colour_of(event.kind())) + rest + first;
  line.erase(line.find_last_not_of(' ') + 1);
  if (whole && text.find('\n') != std::string::npos) {
    std::string more = text.substr(text.find('\n') + 1);
    while (more.ends_with('\n')) more.pop_back();
    line += "\n        ";
    for (const char byte : more) {
      line += byte;
      if (byte == '\n') line += "        ";
    }
  }
  print_line(line, flush);
}

}  // namespace

Outcome run_events(const Session& session, const EventsArguments& arguments) {
  auto client = Client::connect(session, kQuickLimit);
  if (!client) return tl::unexpected(client.error());
  api::WatchEventsRequest request;
  request.set_follow(arguments.follow);
  request.set_pool(arguments.pool);
  request.set_after_sequence(arguments.after);
  if (arguments.last != 0) {
    const auto status = client->ask(&api::Arbiter::Stub::GetStatus, api::GetStatusRequest());
    if (!status) return tl::unexpected(status.error());
    const std::uint64_t latest = status->arbiter().revision();
    const std::uint64_t before = latest - std::min<std::uint64_t>(latest, arguments.last);
    request.set_after_sequence(std::max(before, arguments.after));
  }
  // A pool that has gone may have left events; nobody can wait for more of them.
  Outcome known;
  if (!arguments.pool.empty()) {
    api::GetStatusRequest pool;
    pool.set_pool(arguments.pool);
    const auto status = client->ask(&api::Arbiter::Stub::GetStatus, pool);
    if (!status) known = tl::unexpected(status.error());
    if (!known && arguments.follow) return known;
  }
  for (;;) {
    grpc::ClientContext context;
    // Whoever follows wants no end, unless by --timeout, which then isn't a failure.
    if (!arguments.follow || session.timeout) client->limit(context);
    const auto stream = client->arbiter().WatchEvents(&context, request);
    api::Event event;
    while (stream->Read(&event)) {
      if (session.json) {
        print_json(event, arguments.follow);
      } else {
        print_event(event, arguments.whole, arguments.follow);
      }
      if (event.pool() == arguments.pool) known = {};
      request.set_after_sequence(event.sequence());
      client->heard();
    }
    const grpc::Status status = stream->Finish();
    if (status.ok()) return known;
    // Cut off for being slow: what was missed is still in the history.
    if (reason_of(context) == "SLOW_SUBSCRIBER") continue;
    // The program after an upgrade goes on with the history.
    const bool limited = !arguments.follow || session.timeout;
    if (Client::was_left(status, context) && client->reconnect(limited)) continue;
    return tl::unexpected(client->failure(status, context));
  }
}

}  // namespace corn::ctl
