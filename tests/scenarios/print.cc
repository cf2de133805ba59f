// SPDX-License-Identifier: Apache-2.0
#include "tests/scenarios/print.h"

#include <fmt/core.h>

namespace corn::scenarios {
namespace {

using namespace core;  // NOLINT(google-build-using-namespace): every type here is the core's

const char* name_of(KillSignal signal) {
  switch (signal) {
    case KillSignal::kTerm:
      return "TERM";
    case KillSignal::kQuit:
      return "QUIT";
    case KillSignal::kAbort:
      return "ABRT";
    case KillSignal::kKill:
      return "KILL";
  }
  return "?";
}

const char* name_of(ReplyCode code) {
  switch (code) {
    case ReplyCode::kDone:
      return "DONE";
    case ReplyCode::kNotFound:
      return "NOT_FOUND";
    case ReplyCode::kInvalidArgument:
      return "INVALID_ARGUMENT";
    case ReplyCode::kFailedPrecondition:
      return "FAILED_PRECONDITION";
    case ReplyCode::kUnavailable:
      return "UNAVAILABLE";
    case ReplyCode::kAborted:
      return "ABORTED";
  }
  return "?";
}

std::string one_line(const std::string& text) {
  std::string line;
  for (const char c : text) {
    if (c == '\n') {
      line += "\\n";
    } else {
      line += c;
    }
  }
  return line;
}

std::string line(const SpawnWorker& a) {
  return fmt::format("spawn w{} {} gen {} age {} of {}: {}", a.worker.value, a.pool, a.generation,
                     a.age, a.target, a.reason);
}
std::string line(const DrainWorker& a) {
  return fmt::format("drain w{} grace {}{} ({})", a.worker.value, to_text(a.grace),
                     a.empty_backlog ? ", empty the backlog" : "", core::name_of(a.cause));
}
std::string line(const EndOverdueRequests& a) {
  return fmt::format("end requests over {} of w{}, grace {} ({})", to_text(a.limit), a.worker.value,
                     to_text(a.grace), core::name_of(a.cause));
}
std::string line(const KillWorker& a) {
  return fmt::format("kill w{} {} ({}): {}", a.worker.value, name_of(a.signal),
                     core::name_of(a.cause), one_line(a.reason));
}
std::string line(const InspectWorker& a) { return fmt::format("inspect w{}", a.worker.value); }
std::string line(const LoadSettings&) { return "load settings"; }
std::string line(const BeginGeneration& a) {
  return fmt::format("begin {} gen {}", a.pool, a.generation);
}
std::string line(const CommitGeneration& a) {
  return fmt::format("commit {} gen {}", a.pool, a.generation);
}
std::string line(const AbandonGeneration& a) {
  return fmt::format("abandon {} gen {}", a.pool, a.generation);
}
std::string line(const ClosePool& a) { return fmt::format("close {}", a.pool); }
std::string line(const Record& r) {
  std::string text = fmt::format("  {}", core::name_of(r.kind));
  if (r.worker) text += fmt::format(" w{}", r.worker->value);
  if (!r.pool.empty()) text += fmt::format(" {}", r.pool);
  if (r.cause) text += fmt::format(" [{}]", core::name_of(*r.cause));
  return text + ": " + one_line(r.text);
}
std::string line(const Publish& a) { return line(a.record); }
std::string line(const PublishWithStack& a) {
  return line(a.record) +
         fmt::format(" (and the stack of t{} within {})", a.thread, to_text(a.patience));
}
std::string line(const Reply& a) {
  std::string text = fmt::format("reply #{} {}", a.id.value, name_of(a.code));
  if (a.after != 0) text += fmt::format(" {} -> {}", a.before, a.after);
  return text + ": " + one_line(a.text);
}
std::string line(const Progress& a) { return fmt::format("progress #{}: {}", a.id.value, a.text); }
std::string line(const Accepted& a) {
  return fmt::format("accepted #{} {} -> {}", a.id.value, a.before, a.after);
}
std::string line(const ReopenLogs&) { return "reopen logs"; }
std::string line(const CheckUpgrade&) { return "check upgrade"; }
std::string line(const ExecUpgrade&) { return "exec upgrade"; }
std::string line(const SetPhase& a) { return fmt::format("phase {}", core::name_of(a.phase)); }
std::string line(const ExitArbiter& a) {
  if (a.status == 0 && a.text.empty()) return "exit 0";
  return fmt::format("exit {}: {}", a.status, one_line(a.text));
}

}  // namespace

std::string print(const Action& action) {
  return std::visit([](const auto& a) { return line(a); }, action) + "\n";
}

std::string print(const Snapshot& snapshot, TimePoint now) {
  std::string text =
      fmt::format("{}, {} reloads\n", core::name_of(snapshot.phase), snapshot.reloads);
  for (const PoolSnapshot& pool : snapshot.pools) {
    text += fmt::format("{}: {} of {} ready, gen {}, {} restarts{}{}\n", pool.name, pool.ready,
                        pool.target, pool.generation, pool.restarts,
                        pool.degraded ? ", degraded" : "", pool.mixed ? ", mixed" : "");
    for (const WorkerSnapshot& worker : pool.workers) {
      text += fmt::format("  w{} {} gen {} age {} for {}\n", worker.id.value,
                          core::name_of(worker.state), worker.generation, worker.age,
                          to_text(now - worker.spawned_at));
    }
  }
  return text;
}

}  // namespace corn::scenarios
