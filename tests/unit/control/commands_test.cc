// SPDX-License-Identifier: Apache-2.0
#include <future>
#include <optional>
#include <variant>
#include <vector>

#include "server_fixture.h"

namespace corn::control {
namespace {

using core::ReplyCode;

class CommandsTest : public ServerTest {
 protected:
  // Notes the next commands and replies with `outcome`.
  void reply_with(driver::CommandOutcome outcome) {
    door_.run([this, outcome] {
      door_.on_command = [this, outcome](const core::Command& command,
                                         const driver::CommandCallbacks& callbacks) {
        commands_.push_back(command);
        callbacks.done(outcome);
      };
    });
  }

  // Reads the stream to its end.
  grpc::Status reload(std::vector<api::ReloadResponse>& responses, const std::string& pool = "") {
    grpc::ClientContext context;
    limit(context);
    api::ReloadRequest request;
    request.set_pool(pool);
    const auto reader = arbiter_->Reload(&context, request);
    api::ReloadResponse response;
    while (reader->Read(&response)) responses.push_back(response);
    return reader->Finish();
  }

  // The command that came as number `index`.
  core::Command command(std::size_t index) {
    core::Command result;
    door_.run([&] { result = commands_.at(index); });
    return result;
  }

 private:
  std::vector<core::Command> commands_;  // loop thread's
};

TEST_F(CommandsTest, ReloadStreamsProgressAndEndsSucceeded) {
  door_.run([this] {
    door_.on_command = [](const core::Command&, const driver::CommandCallbacks& callbacks) {
      callbacks.progress({{}, "1 of 2 new workers ready", 1, 2});
      callbacks.progress({{}, "2 of 2 new workers ready", 2, 2});
      callbacks.done({ReplyCode::kDone, "reloaded", 0, 0});
    };
  });
  std::vector<api::ReloadResponse> responses;
  ASSERT_TRUE(reload(responses).ok());
  ASSERT_EQ(responses.size(), 3u);
  EXPECT_EQ(responses[0].state(), api::ReloadResponse::RUNNING);
  EXPECT_EQ(responses[1].ready(), 2u);
  EXPECT_EQ(responses[1].wanted(), 2u);
  EXPECT_EQ(responses[2].state(), api::ReloadResponse::SUCCEEDED);
  EXPECT_EQ(responses[2].text(), "reloaded");
}

TEST_F(CommandsTest, FailedReloadBringsTheWholeTracebackAndFitsItsStatusIntoAHeader) {
  std::string traceback = "cannot load the application\nTraceback (most recent call last):\n";
  for (int i = 0; i < 1000; ++i)
    traceback += "  File \"\u00fc.py\", line " + std::to_string(i) + "\n";
  traceback += "ImportError: no module named \u00fc";
  reply_with({ReplyCode::kFailedPrecondition, traceback, 0, 0});
  std::vector<api::ReloadResponse> responses;
  const grpc::Status status = reload(responses);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_TRUE(status.error_message().starts_with("cannot load the application\n"));
  EXPECT_TRUE(status.error_message().ends_with("ImportError: no module named \u00fc"));
  ASSERT_EQ(responses.size(), 1u);
  EXPECT_EQ(responses[0].state(), api::ReloadResponse::FAILED);
  EXPECT_EQ(responses[0].text(), traceback);
}

TEST_F(CommandsTest, ReloadOfAPoolNamesIt) {
  reply_with({ReplyCode::kNotFound, "there is no pool 'x'", 0, 0});
  std::vector<api::ReloadResponse> responses;
  EXPECT_EQ(reload(responses, "x").error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(std::get<core::ReloadCommand>(command(0)).pool, "x");
}

TEST_F(CommandsTest, CancelledReloadIsLeftToTheArbiter) {
  std::promise<driver::CommandCallbacks> begun;
  door_.run([&] {
    door_.on_command = [&](const core::Command&, const driver::CommandCallbacks& callbacks) {
      callbacks.progress({{}, "0 of 2 new workers ready", 0, 2});
      begun.set_value(callbacks);
    };
  });
  grpc::ClientContext context;
  limit(context);
  const auto reader = arbiter_->Reload(&context, {});
  api::ReloadResponse response;
  ASSERT_TRUE(reader->Read(&response));
  context.TryCancel();
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);

  // The reply that comes later has nobody to go to; the server goes on.
  const driver::CommandCallbacks callbacks = begun.get_future().get();
  door_.run([&] {
    callbacks.progress({{}, "2 of 2 new workers ready", 2, 2});
    callbacks.done({});
  });
  grpc::ClientContext next;
  limit(next);
  api::GetStatusResponse status;
  EXPECT_TRUE(arbiter_->GetStatus(&next, {}, &status).ok());
}

TEST_F(CommandsTest, DeadlineOfTheClientIsKeptThoughTheArbiterIsSilent) {
  door_.run(
      [this] { door_.on_command = [](const core::Command&, const driver::CommandCallbacks&) {}; });
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(200));
  api::ScaleRequest request;
  request.set_delta(1);
  api::ScaleResponse response;
  EXPECT_EQ(arbiter_->Scale(&context, request, &response).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
}

TEST_F(CommandsTest, ScaleTellsBeforeAndAfter) {
  reply_with({ReplyCode::kDone, "2 -> 4", 2, 4});
  grpc::ClientContext context;
  limit(context);
  api::ScaleRequest request;
  request.set_pool("default");
  request.set_delta(2);
  api::ScaleResponse response;
  ASSERT_TRUE(arbiter_->Scale(&context, request, &response).ok());
  EXPECT_EQ(response.before(), 2u);
  EXPECT_EQ(response.after(), 4u);
  const auto scaled = std::get<core::ScaleCommand>(command(0));
  EXPECT_EQ(scaled.pool, "default");
  EXPECT_TRUE(scaled.relative);
  EXPECT_EQ(scaled.amount, 2);
}

TEST_F(CommandsTest, ScaleToATargetIsAbsolute) {
  reply_with({});
  grpc::ClientContext context;
  limit(context);
  api::ScaleRequest request;
  request.set_target(5);
  api::ScaleResponse response;
  ASSERT_TRUE(arbiter_->Scale(&context, request, &response).ok());
  EXPECT_FALSE(std::get<core::ScaleCommand>(command(0)).relative);
  EXPECT_EQ(std::get<core::ScaleCommand>(command(0)).amount, 5);
}

TEST_F(CommandsTest, ScaleWithoutWaitingAnswersWhenAccepted) {
  driver::CommandCallbacks kept;
  door_.run([&] {
    door_.on_command = [&](const core::Command&, const driver::CommandCallbacks& callbacks) {
      callbacks.accepted({{}, 2, 3});
      kept = callbacks;
    };
  });
  grpc::ClientContext context;
  limit(context);
  api::ScaleRequest request;
  request.set_delta(1);
  request.set_no_wait(true);
  api::ScaleResponse response;
  ASSERT_TRUE(arbiter_->Scale(&context, request, &response).ok());
  EXPECT_EQ(response.before(), 2u);
  EXPECT_EQ(response.after(), 3u);
  door_.run([&] { kept.done({ReplyCode::kDone, "", 2, 3}); });
}

TEST_F(CommandsTest, ScaleWithoutAChangeIsInvalid) {
  grpc::ClientContext context;
  limit(context);
  api::ScaleResponse response;
  EXPECT_EQ(arbiter_->Scale(&context, {}, &response).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(CommandsTest, EveryReplyCodeHasItsCanonicalCode) {
  const std::pair<ReplyCode, grpc::StatusCode> codes[] = {
      {ReplyCode::kNotFound, grpc::StatusCode::NOT_FOUND},
      {ReplyCode::kInvalidArgument, grpc::StatusCode::INVALID_ARGUMENT},
      {ReplyCode::kFailedPrecondition, grpc::StatusCode::FAILED_PRECONDITION},
      {ReplyCode::kUnavailable, grpc::StatusCode::UNAVAILABLE},
      {ReplyCode::kAborted, grpc::StatusCode::ABORTED}};
  for (const auto& [reply, code] : codes) {
    reply_with({reply, "because", 0, 0});
    grpc::ClientContext context;
    limit(context);
    api::ScaleRequest request;
    request.set_target(1);
    api::ScaleResponse response;
    const grpc::Status status = arbiter_->Scale(&context, request, &response);
    EXPECT_EQ(status.error_code(), code);
    EXPECT_EQ(status.error_message(), "because");
    EXPECT_EQ(reason(context), reply == ReplyCode::kUnavailable ? "STOPPING" : "");
  }
}

TEST_F(CommandsTest, StopWorkerPassesPidAndManner) {
  std::optional<std::pair<pid_t, bool>> asked;
  door_.run([&] {
    door_.on_stop_worker = [&](pid_t pid, bool now, const driver::CommandCallbacks& callbacks) {
      asked = {pid, now};
      callbacks.done({ReplyCode::kDone, "replaced by 103", 0, 0});
    };
  });
  grpc::ClientContext context;
  limit(context);
  api::StopWorkerRequest request;
  request.set_pid(101);
  request.set_now(true);
  api::StopWorkerResponse response;
  ASSERT_TRUE(arbiter_->StopWorker(&context, request, &response).ok());
  EXPECT_EQ(response.text(), "replaced by 103");
  door_.run([&] { EXPECT_EQ(asked, std::pair(101, true)); });
}

TEST_F(CommandsTest, StopWorkerWithoutAPidIsInvalid) {
  grpc::ClientContext context;
  limit(context);
  api::StopWorkerResponse response;
  EXPECT_EQ(arbiter_->StopWorker(&context, {}, &response).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(CommandsTest, ADumpShowsEachThreadWithItsStateStackAndRequest) {
  pid_t asked = 0;
  door_.run([&] {
    door_.on_dump_worker = [&](pid_t pid) {
      asked = pid;
      driver::ThreadDump busy;
      busy.thread_id = 102;
      busy.name = "corn-app-0\xff";
      busy.state = 'D';
      busy.wait_channel = "nfs_wait";
      busy.python_stack = "  File \"a.py\", line 3 in f";
      busy.request = driver::RequestStatus{102, "GET", "/report", std::chrono::milliseconds(1500)};
      driver::ThreadDump idle;
      idle.thread_id = 103;
      idle.state = 'S';
      idle.last_request = driver::RequestStatus{103, "PUT", "/last", {}};
      return driver::WorkerDump{ReplyCode::kDone, "in a sentence", pid, {busy, idle}};
    };
  });
  grpc::ClientContext context;
  limit(context);
  api::DumpWorkerRequest request;
  request.set_pid(102);
  api::DumpWorkerResponse response;
  ASSERT_TRUE(arbiter_->DumpWorker(&context, request, &response).ok());
  door_.run([&] { EXPECT_EQ(asked, 102); });
  EXPECT_EQ(response.pid(), 102);
  EXPECT_EQ(response.text(), "in a sentence");
  ASSERT_EQ(response.threads_size(), 2);
  const auto& busy = response.threads(0);
  EXPECT_EQ(busy.thread_id(), 102U);
  EXPECT_EQ(busy.name(), "corn-app-0\xef\xbf\xbd");
  EXPECT_EQ(busy.state(), "D");
  EXPECT_EQ(busy.wait_channel(), "nfs_wait");
  EXPECT_EQ(busy.python_stack(), "  File \"a.py\", line 3 in f");
  EXPECT_EQ(busy.request().target(), "/report");
  EXPECT_DOUBLE_EQ(busy.request().running_seconds(), 1.5);
  EXPECT_FALSE(busy.has_last_request());
  EXPECT_FALSE(response.threads(1).has_request());
  EXPECT_EQ(response.threads(1).last_request().target(), "/last");
}

TEST_F(CommandsTest, ADumpThatCannotBeMadeIsRefusedWithItsCause) {
  const auto refused = [&](ReplyCode code, pid_t pid, const std::string& expected_reason) {
    door_.run([&] {
      door_.on_dump_worker = [code](pid_t asked) {
        return driver::WorkerDump{code, "because", asked, {}};
      };
    });
    grpc::ClientContext context;
    limit(context);
    api::DumpWorkerRequest request;
    request.set_pid(pid);
    api::DumpWorkerResponse response;
    const grpc::Status status = arbiter_->DumpWorker(&context, request, &response);
    EXPECT_EQ(reason(context), expected_reason);
    return status.error_code();
  };
  EXPECT_EQ(refused(ReplyCode::kNotFound, 5, ""), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(refused(ReplyCode::kUnavailable, 5, "QUEUE_FULL"), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(refused(ReplyCode::kDone, 0, ""), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(CommandsTest, ReopenLogsAndShutdownReachTheArbiter) {
  reply_with({});
  {
    grpc::ClientContext context;
    limit(context);
    api::ReopenLogsResponse response;
    EXPECT_TRUE(arbiter_->ReopenLogs(&context, {}, &response).ok());
  }
  {
    grpc::ClientContext context;
    limit(context);
    api::ShutdownRequest request;
    request.set_quick(true);
    api::ShutdownResponse response;
    EXPECT_TRUE(arbiter_->Shutdown(&context, request, &response).ok());
  }
  EXPECT_TRUE(std::holds_alternative<core::ReopenLogsCommand>(command(0)));
  EXPECT_TRUE(std::get<core::ShutdownCommand>(command(1)).quick);
}

TEST_F(CommandsTest, ConfigShowsEachSettingWithItsOrigin) {
  door_.run([this] {
    door_.settings = {{"", "daemon", "false", "default"},
                      {"web", "workers", "4", "corn.toml:7"},
                      {"admin", "workers", "1", "default"}};
  });
  {
    grpc::ClientContext context;
    limit(context);
    api::GetConfigResponse response;
    ASSERT_TRUE(arbiter_->GetConfig(&context, {}, &response).ok());
    EXPECT_EQ(response.settings_size(), 3);
  }
  {
    grpc::ClientContext context;
    limit(context);
    api::GetConfigRequest request;
    request.set_pool("web");
    api::GetConfigResponse response;
    ASSERT_TRUE(arbiter_->GetConfig(&context, request, &response).ok());
    ASSERT_EQ(response.settings_size(), 2);
    EXPECT_EQ(response.settings(1).value(), "4");
    EXPECT_EQ(response.settings(1).origin(), "corn.toml:7");
  }
  {
    grpc::ClientContext context;
    limit(context);
    api::GetConfigRequest request;
    request.set_pool("nope");
    api::GetConfigResponse response;
    EXPECT_EQ(arbiter_->GetConfig(&context, request, &response).error_code(),
              grpc::StatusCode::NOT_FOUND);
  }
}

TEST_F(CommandsTest, CheckedFileWithMistakesIsAnAnswerNotAnError) {
  door_.run([this] {
    door_.on_check_config = [](const std::string& file, bool load) {
      EXPECT_EQ(file, "/etc/corn.toml");
      EXPECT_TRUE(load);
      return driver::CommandOutcome{ReplyCode::kInvalidArgument, "/etc/corn.toml:7: no", 0, 0};
    };
  });
  grpc::ClientContext context;
  limit(context);
  api::CheckConfigRequest request;
  request.set_file("/etc/corn.toml");
  request.set_load_applications(true);
  api::CheckConfigResponse response;
  ASSERT_TRUE(arbiter_->CheckConfig(&context, request, &response).ok());
  EXPECT_FALSE(response.valid());
  EXPECT_EQ(response.text(), "/etc/corn.toml:7: no");
}

TEST_F(CommandsTest, CheckedFileMustBeNamedAbsolutely) {
  for (const char* file : {"", "corn.toml"}) {
    grpc::ClientContext context;
    limit(context);
    api::CheckConfigRequest request;
    request.set_file(file);
    api::CheckConfigResponse response;
    EXPECT_EQ(arbiter_->CheckConfig(&context, request, &response).error_code(),
              grpc::StatusCode::INVALID_ARGUMENT);
  }
}

TEST_F(CommandsTest, UpgradeTellsBothVersionsOrWhyNot) {
  reply_with({ReplyCode::kDone, "9.9.9", 0, 0});
  grpc::ClientContext context;
  limit(context);
  api::UpgradeResponse response;
  ASSERT_TRUE(arbiter_->Upgrade(&context, {}, &response).ok());
  EXPECT_EQ(response.version_before(), CORN_VERSION);
  EXPECT_EQ(response.version_after(), "9.9.9");
  EXPECT_TRUE(std::holds_alternative<core::UpgradeCommand>(command(0)));

  reply_with({ReplyCode::kFailedPrecondition, "the new program can't go on", 0, 0});
  grpc::ClientContext refused;
  limit(refused);
  const grpc::Status status = arbiter_->Upgrade(&refused, {}, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(status.error_message(), "the new program can't go on");
}

TEST_F(CommandsTest, WhatIsNotThereYetSaysSo) {
  grpc::ClientContext tail;
  limit(tail);
  const grpc::Status status = arbiter_->TailLogs(&tail, {})->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_NE(status.error_message().find("is not in this version"), std::string::npos);
  EXPECT_EQ(reason(tail), "NOT_YET");

  grpc::ClientContext watch;
  limit(watch);
  EXPECT_EQ(arbiter_->WatchStatus(&watch, {})->Finish().error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
}

TEST_F(CommandsTest, TooManyOpenCallsAreRefusedAndFewerAreServedAgain) {
  std::vector<driver::CommandCallbacks> waiting;
  std::promise<void> full;
  door_.run([&] {
    door_.on_command = [&](const core::Command&, const driver::CommandCallbacks& callbacks) {
      waiting.push_back(callbacks);
      if (waiting.size() == 256) full.set_value();
    };
  });
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReader<api::ReloadResponse>>> readers;
  for (int i = 0; i < 256; ++i) {
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    limit(*contexts.back());
    readers.push_back(arbiter_->Reload(contexts.back().get(), {}));
  }
  full.get_future().wait();
  const auto other = api::Arbiter::NewStub(new_channel());
  grpc::ClientContext refused;
  limit(refused);
  api::GetStatusResponse response;
  EXPECT_EQ(other->GetStatus(&refused, {}, &response).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(reason(refused), "TOO_MANY_CALLS");

  door_.run([&] { waiting.front().done({}); });
  api::ReloadResponse reloaded;
  while (readers.front()->Read(&reloaded)) continue;
  EXPECT_TRUE(readers.front()->Finish().ok());
  grpc::Status status;
  // The slot is free a moment after its client has the answer.
  for (int attempt = 0; attempt < 1000; ++attempt) {
    grpc::ClientContext context;
    limit(context);
    status = other->GetStatus(&context, {}, &response);
    if (status.ok()) break;
  }
  EXPECT_TRUE(status.ok()) << status.error_message();
  for (const auto& context : contexts) context->TryCancel();
}

}  // namespace
}  // namespace corn::control
