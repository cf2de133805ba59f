// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "arbiterd/core/pool_set.h"
#include "arbiterd/core/reloads.h"
#include "arbiterd/core/supervisor.h"

namespace corn::core {

// What the Supervisor knows: the instance as a whole. supervisor.cc takes facts in, commands.cc
// commands, succession.cc passes everything on.
class Supervisor::State {
 public:
  explicit State(std::uint64_t seed) : pools_(seed), reloads_(pools_) {}

  void take(const Start& event, Turn& turn);
  void take(const Resume& event, Turn& turn);
  void take(const Spawned& event, Turn& turn);
  void take(const SpawnFailed& event, Turn& turn);
  void take(const WorkerReady& event, Turn& turn);
  void take(const WorkerBootFailed& event, Turn& turn);
  void take(const WorkerRetiring& event, Turn& turn);
  void take(const Inspected& event, Turn& turn);
  void take(const WorkerExited& event, Turn& turn);
  void take(const CommandReceived& event, Turn& turn);
  void take(const SettingsLoaded& event, Turn& turn);
  void take(const SettingsFailed& event, Turn& turn);
  void take(const UpgradeChecked& event, Turn& turn);
  void take(const UpgradeFailed& event, Turn& turn);
  void take(const LogsReopened& event, Turn& turn);
  void take(const DeadlineReached& event, Turn& turn);

  // What follows from any event: deadlines that have passed, what pools lack, replies, phase, end.
  void conclude(Turn& turn);

  [[nodiscard]] std::optional<TimePoint> next_deadline() const;
  [[nodiscard]] Snapshot snapshot() const;
  [[nodiscard]] Inheritance inheritance() const;

 private:
  void obey(CommandId id, const ReloadCommand& command, Turn& turn);
  void obey(CommandId id, const ScaleCommand& command, Turn& turn);
  void obey(CommandId id, const StopWorkerCommand& command, Turn& turn);
  void obey(CommandId id, const ShutdownCommand& command, Turn& turn);
  void obey(CommandId id, const DormantCommand& command, Turn& turn);
  void obey(CommandId id, const ReopenLogsCommand& command, Turn& turn);
  void obey(CommandId id, const UpgradeCommand& command, Turn& turn);
  void scale_pool(CommandId id, const ScaleCommand& command, Pool& pool, Turn& turn);
  void refuse(CommandId id, ReplyCode code, const std::string& pool, const std::string& why,
              Turn& turn);

  void stop(bool quick, const std::string& why, Turn& turn);
  void check_first_boot(Turn& turn);
  [[nodiscard]] Phase find_phase();
  [[nodiscard]] std::size_t waiting() const;

  PoolSet pools_;
  Reloads reloads_;
  std::optional<CommandId> upgrade_;  // who asked for the one whose check is outstanding
  bool reload_owed_ = false;          // one was given up for an upgrade
  Phase phase_ = Phase::kStarting;
  bool begun_ = false;    // Start was taken
  bool started_ = false;  // the first workers of every pool became ready or failed
  bool stopping_ = false;
  bool quick_ = false;
  bool exited_ = false;
  int exit_status_ = 0;
  std::string exit_text_;
};

}  // namespace corn::core
