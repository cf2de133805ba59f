// SPDX-License-Identifier: Apache-2.0
// Commands, from signals (id 0: nobody waits) and from the control plane.
#include <fmt/core.h>

#include <algorithm>

#include "arbiterd/core/state.h"

namespace corn::core {
namespace {

// Commands that may wait for their reply at a time.
constexpr std::size_t kMaxWaiting = 1024;

// The wanted count, or none if it is not 1 to kMaxWorkers.
std::optional<std::uint32_t> wanted_count(std::uint32_t before, const ScaleCommand& command) {
  constexpr std::int64_t kMost = kMaxWorkers;
  if (command.amount < -kMost || command.amount > kMost) return std::nullopt;
  const std::int64_t after = command.relative ? before + command.amount : command.amount;
  if (after < 1 || after > kMost) return std::nullopt;
  return static_cast<std::uint32_t>(after);
}

}  // namespace

void Supervisor::State::take(const CommandReceived& event, Turn& turn) {
  const bool is_shutdown = std::holds_alternative<ShutdownCommand>(event.command);
  const bool is_reopen = std::holds_alternative<ReopenLogsCommand>(event.command);
  if (exited_ || (stopping_ && !is_shutdown && !is_reopen)) {
    refuse(event.id, ReplyCode::kUnavailable, {}, "the arbiter is shutting down", turn);
    return;
  }
  if (!begun_ && !is_shutdown && !is_reopen) {
    refuse(event.id, ReplyCode::kUnavailable, {}, "the arbiter has not started yet; try again",
           turn);
    return;
  }
  if (event.id.value != 0 && waiting() >= kMaxWaiting) {
    refuse(event.id, ReplyCode::kUnavailable, {},
           fmt::format("{} commands wait already; try again later", kMaxWaiting), turn);
    return;
  }
  std::visit([&](const auto& command) { obey(event.id, command, turn); }, event.command);
}

std::size_t Supervisor::State::waiting() const {
  std::size_t waiting = reloads_.waiting();
  for (const auto& pool : pools_.all()) waiting += pool->waiting();
  return waiting;
}

// A caller reads why in its reply, everybody else in the history.
void Supervisor::State::refuse(CommandId id, ReplyCode code, const std::string& pool,
                               const std::string& why, Turn& turn) {
  if (id.value != 0) {
    turn.reply(Reply{id, code, why});
    return;
  }
  if (exited_) return;
  Record record;
  record.kind = RecordKind::kRefused;
  record.pool = pool;
  record.text = why;
  turn.publish(std::move(record));
}

void Supervisor::State::obey(CommandId id, const ReloadCommand& command, Turn& turn) {
  reloads_.ask(id, command.pool, turn);
}

void Supervisor::State::obey(CommandId id, const ScaleCommand& command, Turn& turn) {
  if (Pool* pool = pools_.find_present(command.pool)) {
    scale_pool(id, command, *pool, turn);
  } else if (!command.pool.empty()) {
    refuse(id, ReplyCode::kNotFound, {},
           fmt::format("no pool {}; there are: {}", command.pool, pools_.names()), turn);
  } else if (id.value != 0) {
    refuse(id, ReplyCode::kInvalidArgument, {},
           fmt::format("name the pool to scale; there are: {}", pools_.names()), turn);
  } else {
    for (Pool* each : pools_.present()) scale_pool(id, command, *each, turn);
  }
}

void Supervisor::State::scale_pool(CommandId id, const ScaleCommand& command, Pool& pool,
                                   Turn& turn) {
  const auto after = wanted_count(pool.target(), command);
  if (!after) {
    refuse(
        id, ReplyCode::kInvalidArgument, pool.name(),
        fmt::format("pool {} has a target of {}; {}{} is not possible: allowed are 1 to {} "
                    "workers",
                    pool.name(), pool.target(), command.relative && command.amount > 0 ? "+" : "",
                    command.amount, kMaxWorkers),
        turn);
    return;
  }
  // Fewer workers are no reason to bring a dormant pool back.
  pool.scale(id, *after, !command.relative || command.amount > 0, turn);
}

void Supervisor::State::obey(CommandId id, const StopWorkerCommand& command, Turn& turn) {
  const auto [pool, worker] = pools_.find_worker(command.worker);
  if (worker == nullptr) {
    refuse(id, ReplyCode::kNotFound, {}, "no such worker (it may have just ended)", turn);
  } else if (command.now) {
    pool->kill_worker(id, *worker, turn);
  } else {
    pool->restart_worker(id, *worker, turn);
  }
}

void Supervisor::State::obey(CommandId id, const ShutdownCommand& command, Turn& turn) {
  stop(command.quick, command.quick ? "quick shutdown" : "graceful shutdown", turn);
  // At once: the caller's connection ends with the arbiter.
  turn.reply(Reply{id, ReplyCode::kDone, quick_ ? "shutting down quickly" : "shutting down"});
}

void Supervisor::State::obey(CommandId id, const DormantCommand&, Turn& turn) {
  const std::vector<Pool*> pools = pools_.present();
  if (!std::ranges::all_of(pools, &Pool::dormant)) {
    Record record;
    record.kind = RecordKind::kDormant;
    record.text = "all workers are stopped, sockets stay; HUP, TTIN or scale brings them back";
    turn.publish(std::move(record));
  }
  reloads_.cancel(ReplyCode::kAborted, "overtaken: all workers are being stopped (WINCH)", turn);
  for (Pool* pool : pools) pool->sleep(turn);
  turn.reply(Reply{id, ReplyCode::kDone, "dormant"});
}

void Supervisor::State::obey(CommandId id, const ReopenLogsCommand&, Turn& turn) {
  turn.order(ReopenLogs{id});
}

void Supervisor::State::take(const LogsReopened& event, Turn& turn) {
  const bool failed = !event.failure.empty();
  Record record;
  record.kind = RecordKind::kLogsReopened;
  record.text = failed ? "log files are opened anew, but not all: " + event.failure
                       : "log files are opened anew";
  const std::string text = record.text;
  turn.publish(std::move(record));
  turn.reply(Reply{event.id, failed ? ReplyCode::kFailedPrecondition : ReplyCode::kDone, text});
}

}  // namespace corn::core
