// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/driver/record_log.h"

#include <fmt/core.h>

#include <algorithm>

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

constexpr std::size_t kMostKnown = 16;

// The pool at the end of the first line, what follows being a traceback.
std::string with_pool(const std::string& text, const std::string& pool) {
  const std::size_t line_end = std::min(text.find('\n'), text.size());
  return text.substr(0, line_end) + pool + text.substr(line_end);
}

}  // namespace

std::string RecordLog::without_known(std::string text, bool of_this_reload) {
  for (const Known& known : known_) {
    if (of_this_reload && !known.of_this_reload) continue;
    const std::size_t at = text.find(known.text);
    if (at == std::string::npos) continue;
    const std::size_t end = at + known.text.size();
    if (end == text.size() || text[end] == '\n') text.erase(at, known.text.size());
  }
  const std::size_t begin = text.find('\n');
  if (begin == std::string::npos) return text;
  const std::size_t end = text.find_last_not_of('\n') + 1;
  if (begin >= end) return text.substr(0, begin);
  known_.push_front({text.substr(begin, end - begin), true});
  if (known_.size() > kMostKnown) known_.pop_back();
  return text;
}

void RecordLog::write(const core::Record& record) {
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
                without_known(record.text));
      return;
    case RecordKind::kReloadFailed:
      base::log_error("{}", with_pool(without_known(record.text, true), pool));
      return;
    case RecordKind::kUpgradeFailed:
    case RecordKind::kPoolDegraded:
      base::log_error("{}", with_pool(without_known(record.text), pool));
      return;
    case RecordKind::kRefused:
      base::log_warning("{}{}", record.text, pool);
      return;
    case RecordKind::kRequestSlow:
      base::log_warning("SLOW REQUEST (pid:{}){}: {}", record.pid, pool, record.text);
      return;
    case RecordKind::kReloadStarted:
      for (Known& known : known_) known.of_this_reload = false;
      base::log_info("{}{}", record.text, pool);
      return;
    case RecordKind::kLogsReopened:
      known_.clear();
      base::log_info("{}{}", record.text, pool);
      return;
    case RecordKind::kReloadSucceeded:
    case RecordKind::kScaled:
    case RecordKind::kPoolRecovered:
    case RecordKind::kDormant:
    case RecordKind::kShutdownStarted:
    case RecordKind::kUpgradeStarted:
    case RecordKind::kUpgradeSucceeded:
    case RecordKind::kAdopted:
      base::log_info("{}", with_pool(record.text, pool));
      return;
  }
}

}  // namespace corn::driver
