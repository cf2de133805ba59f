// SPDX-License-Identifier: Apache-2.0
#include <charconv>
#include <cstdint>
#include <string>

#include "ctl/client.h"
#include "ctl/commands.h"
#include "ctl/render.h"

namespace corn::ctl {
namespace {

Expected<std::int32_t> number(const std::string& text, const std::string& change) {
  std::int32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end == text.data() + text.size() && !text.empty()) return value;
  return fail(ExitCode::kUsage, "'" + change +
                                    "' is not a number of workers: write 4 (so many), +2 (more) or "
                                    "-1 (fewer)");
}

}  // namespace

Outcome run_scale(const Session& session, const ScaleArguments& arguments) {
  const std::string& change = arguments.change;
  const bool more = change.starts_with('+');
  const bool relative = more || change.starts_with('-');
  // from_chars takes a minus of its own, but no plus.
  const auto amount = number(more ? change.substr(1) : change, change);
  if (!amount || (more && *amount < 0)) return tl::unexpected(number("", change).error());

  api::ScaleRequest request;
  request.set_pool(arguments.pool);
  request.set_no_wait(arguments.no_wait);
  if (relative) {
    request.set_delta(*amount);
  } else {
    request.set_target(*amount);
  }
  auto client = Client::connect(session, kWaitingLimit);
  if (!client) return tl::unexpected(client.error());
  const auto scaled = client->call(&api::Arbiter::Stub::Scale, request);
  if (!scaled) return tl::unexpected(scaled.error());
  if (session.json) {
    print_json(*scaled);
  } else {
    print_line(std::to_string(scaled->before()) + " -> " + std::to_string(scaled->after()));
  }
  return {};
}

}  // namespace corn::ctl
