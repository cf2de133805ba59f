// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/driver/record_log.h"

#include <fmt/core.h>

#include "base/log.h"

namespace corn::driver {
namespace {

base::LogLevel level_of_exit(const core::Record& record) {
  if (!record.cause) return base::LogLevel::kInfo;
  switch (*record.cause) {
    case core::Cause::kReloaded:
    case core::Cause::kScaledDown:
    case core::Cause::kShutdown:
    case core::Cause::kMaxRequests:
    case core::Cause::kMaxMemory:
    case core::Cause::kMaxLifetime:
    case core::Cause::kKilledByOperator:
    case core::Cause::kOrphaned:
      return base::LogLevel::kInfo;
    case core::Cause::kExited:
    case core::Cause::kLost:
      return base::LogLevel::kWarning;
    case core::Cause::kCrashed:
    case core::Cause::kTimeout:
    case core::Cause::kBootTimeout:
    case core::Cause::kRequestTimeout:
    case core::Cause::kOutOfMemory:
    case core::Cause::kBootFailed:
      return base::LogLevel::kError;
  }
  return base::LogLevel::kInfo;
}

}  // namespace

void log_record(const core::Record& record) {
  using core::RecordKind;
  const std::string pool = record.pool.empty() ? "" : fmt::format(" [{}]", record.pool);
  switch (record.kind) {
    case RecordKind::kWorkerSpawned:
    case RecordKind::kWorkerReady:
    case RecordKind::kWorkerDraining:
      base::log_debug("worker {}{}: {}: {}", record.pid, pool, core::name_of(record.kind),
                      record.text);
      return;
    case RecordKind::kWorkerRetiring:
      base::log_info("Worker {} is to be replaced{}: {}", record.pid, pool, record.text);
      return;
    case RecordKind::kWorkerStuck:
      base::log_critical("WORKER TIMEOUT (pid:{}): {}", record.pid, record.text);
      return;
    case RecordKind::kWorkerExited:
      base::log(level_of_exit(record), "Worker (pid:{}) ended{}: {}", record.pid,
                record.cause ? fmt::format(" ({})", core::name_of(*record.cause)) : "",
                record.text);
      return;
    case RecordKind::kReloadFailed:
    case RecordKind::kUpgradeFailed:
    case RecordKind::kPoolDegraded:
      base::log_error("{}{}", record.text, pool);
      return;
    case RecordKind::kRefused:
      base::log_warning("{}{}", record.text, pool);
      return;
    case RecordKind::kRequestSlow:
      base::log_warning("SLOW REQUEST (pid:{}){}: {}", record.pid, pool, record.text);
      return;
    case RecordKind::kReloadStarted:
    case RecordKind::kReloadSucceeded:
    case RecordKind::kScaled:
    case RecordKind::kPoolRecovered:
    case RecordKind::kDormant:
    case RecordKind::kShutdownStarted:
    case RecordKind::kLogsReopened:
    case RecordKind::kUpgradeStarted:
    case RecordKind::kUpgradeSucceeded:
    case RecordKind::kAdopted:
      base::log_info("{}{}", record.text, pool);
      return;
  }
}

}  // namespace corn::driver
