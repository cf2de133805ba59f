// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <string>

#include "ctl/client.h"
#include "ctl/commands.h"
#include "ctl/render.h"
#include "ctl/text.h"

namespace corn::ctl {

Outcome run_reload(const Session& session, const ReloadArguments& arguments) {
  auto client = Client::connect(session, kWaitingLimit);
  if (!client) return tl::unexpected(client.error());
  api::ReloadRequest request;
  request.set_pool(arguments.pool);
  grpc::ClientContext context;
  client->limit(context);
  const auto stream = client->arbiter().Reload(&context, request);

  std::string last;
  api::ReloadResponse response;
  while (stream->Read(&response)) {
    if (session.json) {
      print_json(response, true);
    } else if (response.state() == api::ReloadResponse::RUNNING) {
      // Progress isn't the result: a script that reads standard output gets one line.
      std::fprintf(stderr, "%s\n", harmless(response.text()).c_str());
    }
    last = response.text();
  }
  const grpc::Status status = stream->Finish();
  if (!status.ok()) {
    Failure failure = client->failure(status, context);
    // The status message was cut to fit a header, the last message has all of it.
    if (response.state() == api::ReloadResponse::FAILED && !last.empty()) failure.message = last;
    return tl::unexpected(std::move(failure));
  }
  if (!session.json) print_line(last.empty() ? "reloaded" : harmless(last));
  return {};
}

}  // namespace corn::ctl
