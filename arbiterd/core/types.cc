// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/core/types.h"

#include <fmt/core.h>

#include <array>
#include <cstring>

namespace corn::core {

const char* name_of(Cause cause) {
  switch (cause) {
    case Cause::kExited:
      return "exited";
    case Cause::kCrashed:
      return "crashed";
    case Cause::kLost:
      return "lost";
    case Cause::kOrphaned:
      return "orphaned";
    case Cause::kTimeout:
      return "timeout";
    case Cause::kRequestTimeout:
      return "request-timeout";
    case Cause::kOutOfMemory:
      return "out-of-memory";
    case Cause::kMaxRequests:
      return "max-requests";
    case Cause::kMaxMemory:
      return "max-memory";
    case Cause::kMaxLifetime:
      return "max-lifetime";
    case Cause::kReloaded:
      return "reloaded";
    case Cause::kScaledDown:
      return "scaled-down";
    case Cause::kBootTimeout:
    case Cause::kBootFailed:
      return "boot-failed";
    case Cause::kKilledByOperator:
      return "killed-by-operator";
    case Cause::kShutdown:
      return "shutdown";
  }
  return "unknown";
}

const char* name_of(WorkerState state) {
  switch (state) {
    case WorkerState::kBooting:
      return "booting";
    case WorkerState::kReady:
      return "ready";
    case WorkerState::kDraining:
      return "draining";
    case WorkerState::kStopping:
      return "stopping";
  }
  return "unknown";
}

const char* name_of(Phase phase) {
  switch (phase) {
    case Phase::kStarting:
      return "starting";
    case Phase::kServing:
      return "serving";
    case Phase::kReloading:
      return "reloading";
    case Phase::kDormant:
      return "dormant";
    case Phase::kStopping:
      return "stopping";
  }
  return "unknown";
}

const char* name_of(RecordKind kind) {
  switch (kind) {
    case RecordKind::kWorkerSpawned:
      return "worker-spawned";
    case RecordKind::kWorkerReady:
      return "worker-ready";
    case RecordKind::kWorkerRetiring:
      return "worker-retiring";
    case RecordKind::kWorkerDraining:
      return "worker-draining";
    case RecordKind::kWorkerStuck:
      return "worker-stuck";
    case RecordKind::kRequestSlow:
      return "request-slow";
    case RecordKind::kWorkerExited:
      return "worker-exited";
    case RecordKind::kReloadStarted:
      return "reload-started";
    case RecordKind::kReloadSucceeded:
      return "reload-succeeded";
    case RecordKind::kReloadFailed:
      return "reload-failed";
    case RecordKind::kScaled:
      return "scaled";
    case RecordKind::kPoolDegraded:
      return "pool-degraded";
    case RecordKind::kPoolRecovered:
      return "pool-recovered";
    case RecordKind::kDormant:
      return "dormant";
    case RecordKind::kShutdownStarted:
      return "shutdown-started";
    case RecordKind::kLogsReopened:
      return "logs-reopened";
    case RecordKind::kRefused:
      return "refused";
    case RecordKind::kUpgradeStarted:
      return "upgrade-started";
    case RecordKind::kUpgradeFailed:
      return "upgrade-failed";
    case RecordKind::kUpgradeSucceeded:
      return "upgrade-succeeded";
    case RecordKind::kAdopted:
      return "adopted";
  }
  return "unknown";
}

std::optional<Cause> cause_from_name(std::string_view name) {
  static constexpr std::array kReportable = {Cause::kMaxRequests, Cause::kMaxMemory,
                                             Cause::kMaxLifetime, Cause::kOrphaned};
  for (const Cause cause : kReportable) {
    if (name == name_of(cause)) return cause;
  }
  return std::nullopt;
}

std::string to_string(const ExitStatus& status) {
  if (!status.known) return "ended, status unknown";
  if (status.signal == 0) return fmt::format("exited with status {}", status.code);
  // sigabbrev_np(3): null for a number that names no signal (real-time signals).
  const char* name = ::sigabbrev_np(status.signal);
  return fmt::format("killed by signal {}{}",
                     name != nullptr ? std::string(name) : std::to_string(status.signal),
                     status.core_dumped ? " (core dumped)" : "");
}

std::string to_text(Duration duration) {
  const double seconds = std::chrono::duration<double>(duration).count();
  if (duration < std::chrono::seconds(1)) return fmt::format("{:.0f} ms", seconds * 1000);
  const bool whole = duration % std::chrono::seconds(1) == Duration::zero();
  return whole ? fmt::format("{:.0f} s", seconds) : fmt::format("{:.1f} s", seconds);
}

}  // namespace corn::core
