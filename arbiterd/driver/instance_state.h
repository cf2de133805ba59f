// SPDX-License-Identifier: Apache-2.0
// What an instance is at a moment, in a form that outlives its arbiter: sealed into a memfd for the
// program that an upgrade in place runs next, and kept in RUNTIME_DIRECTORY/NAME.state for an
// arbiter that comes after a crash.
//
// JSON, with a format number: a program refuses what a younger one has written, and goes on with
// what an older one has.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "arbiterd/core/types.h"
#include "arbiterd/driver/door/door.h"
#include "arbiterd/driver/pool_runtime.h"
#include "arbiterd/os/listener.h"
#include "base/result.h"

namespace corn::driver {

inline constexpr int kStateFormat = 1;

// Descriptors are -1 where none is passed on (in the state file none is).
struct WorkerRecord {
  std::uint64_t start_time = 0;  // os::read_start_time(): the pid may be somebody else's by now
  int channel = -1;
  int scoreboard = -1;
  int pidfd = -1;
};
struct ListenerRecord {
  std::string bind;                                // BindAddress::text()
  std::uint64_t inode = 0;                         // of the socket
  std::optional<os::Listener::FileIdentity> file;  // the unix socket's file made for it
  int descriptor = -1;
  bool activated = false;  // BindAddress::activated
};
struct PoolRecord {
  std::string settings;  // fingerprint(): whether they changed since
  PoolTotals totals;     // of workers that are gone
  std::vector<ListenerRecord> listeners;
  int hand_off_in = -1;  // the ends of the hand-off queue
  int hand_off_out = -1;
};

struct InstanceState {
  std::string version;      // Corn's, of the writer
  std::string machine;      // boot_id(): times and pids mean nothing after a restart of the machine
  pid_t pid = 0;            // the arbiter's
  WallTime started_at;      // of the instance
  base::TimePoint started;  // the same by the monotonic clock
  std::uint64_t upgrades = 0;
  std::uint64_t last_sequence = 0;    // of the history
  std::vector<HistoryEvent> history;  // the latest events, oldest first
  core::Inheritance inheritance;
  std::map<core::WorkerId, WorkerRecord> workers;
  std::map<std::string, PoolRecord> pools;
  // Of an upgrade only.
  int lock = -1;
  std::uint64_t descriptor_limit = 0;  // soft RLIMIT_NOFILE as the first program found it
  std::string instance;                // its name, whatever the settings say now
  config::ArbiterSettings kept;        // in force; of these, what only a restart changes
  int log = -1;                        // the error log's file; -1: standard error
  // For a program that is only tried: what it has to answer, so that one which merely ends well
  // isn't taken for an arbiter. Empty: it is in earnest.
  std::string trial;
};

std::string to_text(const InstanceState& state);

// Fails for what isn't a state, with what is wrong; and for a younger format, naming the version
// that wrote it.
base::Result<InstanceState> read_state(std::string_view text);

// The kernel's name for the time since the machine was started.
std::string boot_id();

// Changes when one of the pool's settings does.
std::string fingerprint(const config::PoolSettings& settings);

}  // namespace corn::driver
