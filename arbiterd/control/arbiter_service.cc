// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/control/arbiter_service.h"

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "arbiterd/control/convert.h"
#include "arbiterd/control/event_stream.h"
#include "arbiterd/control/text.h"

namespace corn::control {
namespace {

using StatusCall = UnaryCall<api::GetStatusRequest, api::GetStatusResponse>;
using ReloadCall = StreamCall<api::ReloadRequest, api::ReloadResponse>;
using ScaleCall = UnaryCall<api::ScaleRequest, api::ScaleResponse>;
using StopWorkerCall = UnaryCall<api::StopWorkerRequest, api::StopWorkerResponse>;
using UpgradeCall = UnaryCall<api::UpgradeRequest, api::UpgradeResponse>;
using ReopenLogsCall = UnaryCall<api::ReopenLogsRequest, api::ReopenLogsResponse>;
using ShutdownCall = UnaryCall<api::ShutdownRequest, api::ShutdownResponse>;
using TailLogsCall = StreamCall<api::TailLogsRequest, api::LogLine>;
using DumpWorkerCall = UnaryCall<api::DumpWorkerRequest, api::DumpWorkerResponse>;
using GetConfigCall = UnaryCall<api::GetConfigRequest, api::GetConfigResponse>;
using CheckConfigCall = UnaryCall<api::CheckConfigRequest, api::CheckConfigResponse>;
using WatchStatusCall = StreamCall<api::WatchStatusRequest, api::GetStatusResponse>;

// Progress that a client hasn't read yet; more is dropped, what comes later says more anyway.
constexpr std::size_t kMostProgress = 64;

// A callback for the door: takes what the door says to `then(call, what)` on the queue's thread, if
// the call is still there.
template <typename What, typename CallType>
std::function<void(const What&)> bring_back(
    const std::shared_ptr<CallType>& call,
    std::function<void(const std::shared_ptr<CallType>&, const What&)> then) {
  return [weak = std::weak_ptr<CallType>(call), mailbox = call->board().mailbox,
          then = std::move(then)](const What& what) {
    mailbox->post([weak, then, what] {
      if (const auto waiting = weak.lock()) then(waiting, what);
    });
  };
}

Refusal no_such_pool(const std::string& pool) {
  return {grpc::StatusCode::NOT_FOUND,
          "there is no pool '" + pool + "'; cornctl status shows the pools there are",
          {}};
}

Refusal which_worker() {
  return {grpc::StatusCode::INVALID_ARGUMENT,
          "which worker? Set pid; cornctl status shows the workers' pids",
          {}};
}

// Answers with what `fill` makes of an outcome that is kDone, and otherwise refuses.
template <typename Response>
void answer(const auto& call, const driver::CommandOutcome& outcome,
            void (*fill)(const driver::CommandOutcome&, Response&)) {
  if (outcome.code != core::ReplyCode::kDone) {
    call->refuse(refusal_of(outcome));
    return;
  }
  Response response;
  fill(outcome, response);
  call->finish(response);
}

void answer_status(const StatusCall::Pointer& call, const driver::StatusSnapshot& snapshot) {
  api::GetStatusResponse response;
  if (to_message(snapshot, call->request().pool(), response)) {
    call->finish(response);
  } else {
    call->refuse(no_such_pool(call->request().pool()));
  }
}

void get_status(const StatusCall::Pointer& call) {
  if (!call->board().door.get_status(
          bring_back<driver::StatusSnapshot, StatusCall>(call, answer_status))) {
    call->refuse(queue_full());
  }
}

void report_progress(const ReloadCall::Pointer& call, const core::Progress& progress) {
  if (call->pending() >= kMostProgress) return;
  api::ReloadResponse response;
  response.set_state(api::ReloadResponse::RUNNING);
  response.set_text(clean_text(progress.text));
  response.set_ready(progress.ready);
  response.set_wanted(progress.wanted);
  call->send(std::move(response));
}

void end_reload(const ReloadCall::Pointer& call, const driver::CommandOutcome& outcome) {
  const bool done = outcome.code == core::ReplyCode::kDone;
  api::ReloadResponse response;
  response.set_state(done ? api::ReloadResponse::SUCCEEDED : api::ReloadResponse::FAILED);
  response.set_text(clean_text(outcome.text));
  call->send(std::move(response));
  if (done) {
    call->end(grpc::Status::OK);
  } else {
    call->refuse(refusal_of(outcome));
  }
}

void reload(const ReloadCall::Pointer& call) {
  driver::CommandCallbacks callbacks;
  callbacks.progress = bring_back<core::Progress, ReloadCall>(call, report_progress);
  callbacks.done = bring_back<driver::CommandOutcome, ReloadCall>(call, end_reload);
  if (!call->board().door.command(core::ReloadCommand{call->request().pool()},
                                  std::move(callbacks))) {
    call->refuse(queue_full());
  }
}

void answer_accepted(const ScaleCall::Pointer& call, const core::Accepted& accepted) {
  api::ScaleResponse response;
  response.set_before(accepted.before);
  response.set_after(accepted.after);
  call->finish(response);
}

void answer_scaled(const ScaleCall::Pointer& call, const driver::CommandOutcome& outcome) {
  answer<api::ScaleResponse>(call, outcome,
                             [](const driver::CommandOutcome& done, api::ScaleResponse& response) {
                               response.set_before(done.before);
                               response.set_after(done.after);
                               response.set_text(clean_text(done.text));
                             });
}

void scale(const ScaleCall::Pointer& call) {
  const api::ScaleRequest& request = call->request();
  core::ScaleCommand command;
  command.pool = request.pool();
  switch (request.change_case()) {
    case api::ScaleRequest::kTarget:
      command.relative = false;
      command.amount = request.target();
      break;
    case api::ScaleRequest::kDelta:
      command.relative = true;
      command.amount = request.delta();
      break;
    case api::ScaleRequest::CHANGE_NOT_SET:
      call->refuse({grpc::StatusCode::INVALID_ARGUMENT,
                    "how many workers? Set target (so many) or delta (so many more or fewer)",
                    {}});
      return;
  }
  driver::CommandCallbacks callbacks;
  if (request.no_wait()) {
    callbacks.accepted = bring_back<core::Accepted, ScaleCall>(call, answer_accepted);
  }
  callbacks.done = bring_back<driver::CommandOutcome, ScaleCall>(call, answer_scaled);
  if (!call->board().door.command(command, std::move(callbacks))) call->refuse(queue_full());
}

void answer_stopped(const StopWorkerCall::Pointer& call, const driver::CommandOutcome& outcome) {
  answer<api::StopWorkerResponse>(
      call, outcome, [](const driver::CommandOutcome& done, api::StopWorkerResponse& response) {
        response.set_text(clean_text(done.text));
      });
}

void stop_worker(const StopWorkerCall::Pointer& call) {
  if (call->request().pid() <= 0) return call->refuse(which_worker());
  driver::CommandCallbacks callbacks;
  callbacks.done = bring_back<driver::CommandOutcome, StopWorkerCall>(call, answer_stopped);
  if (!call->board().door.stop_worker(call->request().pid(), call->request().now(),
                                      std::move(callbacks))) {
    call->refuse(queue_full());
  }
}

void answer_dumped(const DumpWorkerCall::Pointer& call, const driver::WorkerDump& dump) {
  switch (dump.code) {
    case core::ReplyCode::kDone: {
      api::DumpWorkerResponse response;
      to_message(dump, response);
      call->finish(response);
      return;
    }
    case core::ReplyCode::kUnavailable:
      call->refuse({grpc::StatusCode::UNAVAILABLE, dump.text, "QUEUE_FULL"});
      return;
    case core::ReplyCode::kNotFound:
    case core::ReplyCode::kInvalidArgument:
    case core::ReplyCode::kFailedPrecondition:
    case core::ReplyCode::kAborted:
      call->refuse(refusal_of({dump.code, dump.text, 0, 0}));
      return;
  }
}

void dump_worker(const DumpWorkerCall::Pointer& call) {
  if (call->request().pid() <= 0) return call->refuse(which_worker());
  if (!call->board().door.dump_worker(
          call->request().pid(),
          bring_back<driver::WorkerDump, DumpWorkerCall>(call, answer_dumped))) {
    call->refuse(queue_full());
  }
}

void answer_reopened(const ReopenLogsCall::Pointer& call, const driver::CommandOutcome& outcome) {
  answer<api::ReopenLogsResponse>(call, outcome,
                                  [](const driver::CommandOutcome&, api::ReopenLogsResponse&) {});
}

void reopen_logs(const ReopenLogsCall::Pointer& call) {
  driver::CommandCallbacks callbacks;
  callbacks.done = bring_back<driver::CommandOutcome, ReopenLogsCall>(call, answer_reopened);
  if (!call->board().door.command(core::ReopenLogsCommand{}, std::move(callbacks))) {
    call->refuse(queue_full());
  }
}

void answer_shutdown(const ShutdownCall::Pointer& call, const driver::CommandOutcome& outcome) {
  answer<api::ShutdownResponse>(call, outcome,
                                [](const driver::CommandOutcome&, api::ShutdownResponse&) {});
}

void shutdown(const ShutdownCall::Pointer& call) {
  driver::CommandCallbacks callbacks;
  callbacks.done = bring_back<driver::CommandOutcome, ShutdownCall>(call, answer_shutdown);
  if (!call->board().door.command(core::ShutdownCommand{call->request().quick()},
                                  std::move(callbacks))) {
    call->refuse(queue_full());
  }
}

using Settings = std::vector<driver::EffectiveSetting>;

void answer_config(const GetConfigCall::Pointer& call, const Settings& settings) {
  api::GetConfigResponse response;
  if (to_message(settings, call->request().pool(), response)) {
    call->finish(response);
  } else {
    call->refuse(no_such_pool(call->request().pool()));
  }
}

void get_config(const GetConfigCall::Pointer& call) {
  if (!call->board().door.get_config(bring_back<Settings, GetConfigCall>(call, answer_config))) {
    call->refuse(queue_full());
  }
}

void answer_checked(const CheckConfigCall::Pointer& call, const driver::CommandOutcome& outcome) {
  if (outcome.code == core::ReplyCode::kUnavailable) {
    call->refuse(refusal_of(outcome));
    return;
  }
  api::CheckConfigResponse response;
  response.set_valid(outcome.code == core::ReplyCode::kDone);
  response.set_text(clean_text(outcome.text));
  call->finish(response);
}

void check_config(const CheckConfigCall::Pointer& call) {
  const std::string& file = call->request().file();
  if (file.empty() || file.front() != '/') {
    call->refuse({grpc::StatusCode::INVALID_ARGUMENT,
                  file.empty() ? "which file? Set file to an absolute path"
                               : "'" + file +
                                     "' is not an absolute path: the arbiter's working directory "
                                     "may be another than yours",
                  {}});
    return;
  }
  if (!call->board().door.check_config(
          file, call->request().load_applications(),
          bring_back<driver::CommandOutcome, CheckConfigCall>(call, answer_checked))) {
    call->refuse(queue_full());
  }
}

void upgrade(const UpgradeCall::Pointer& call) {
  driver::CommandCallbacks callbacks;
  callbacks.done = bring_back<driver::CommandOutcome, UpgradeCall>(
      call, [](const UpgradeCall::Pointer& waiting, const driver::CommandOutcome& outcome) {
        answer<api::UpgradeResponse>(
            waiting, outcome,
            [](const driver::CommandOutcome& done, api::UpgradeResponse& response) {
              response.set_version_before(CORN_VERSION);
              response.set_version_after(clean_text(done.text));
            });
      });
  if (!call->board().door.command(core::UpgradeCommand{}, std::move(callbacks))) {
    call->refuse(queue_full());
  }
}

// Passes a call's pointers on to the service's function of that name, whose type is generated and
// unnameable.
#define CORN_OFFER(NAME) \
  [&service = service_](auto*... pointers) { service.Request##NAME(pointers...); }

}  // namespace

void ArbiterService::serve(Switchboard& board) {
  StatusCall::serve(board, CORN_OFFER(GetStatus), get_status);
  ReloadCall::serve(board, CORN_OFFER(Reload), reload);
  ScaleCall::serve(board, CORN_OFFER(Scale), scale);
  StopWorkerCall::serve(board, CORN_OFFER(StopWorker), stop_worker);
  DumpWorkerCall::serve(board, CORN_OFFER(DumpWorker), dump_worker);
  ReopenLogsCall::serve(board, CORN_OFFER(ReopenLogs), reopen_logs);
  ShutdownCall::serve(board, CORN_OFFER(Shutdown), shutdown);
  EventCall::serve(board, CORN_OFFER(WatchEvents), watch_events);
  GetConfigCall::serve(board, CORN_OFFER(GetConfig), get_config);
  CheckConfigCall::serve(board, CORN_OFFER(CheckConfig), check_config);
  UpgradeCall::serve(board, CORN_OFFER(Upgrade), upgrade);

  const auto refuse = [](const char* what) {
    return [what](const auto& call) { call->refuse(not_yet(what)); };
  };
  TailLogsCall::serve(board, CORN_OFFER(TailLogs), refuse("reading logs through the arbiter"));
  WatchStatusCall::serve(board, CORN_OFFER(WatchStatus), refuse("watching the status"));
}

#undef CORN_OFFER

}  // namespace corn::control
