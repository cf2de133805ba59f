// SPDX-License-Identifier: Apache-2.0
// The one table of settings. The command line, TOML files, Python files, CORN_CMD_ARGS, --help,
// --print-config and docs/SETTINGS.md are all made from it: a setting that is not in this table
// does not exist. Every setting of gunicorn 26.1 is in it, if only to be refused with the reason.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "arbiterd/config/settings.h"
#include "arbiterd/config/value.h"

namespace corn::config {

// Whom a setting is for, and so in which TOML table it stands.
enum class Scope : std::uint8_t {
  kInvocation,  // options of one start, never in a file: --config, --check-config
  kArbiter,     // [arbiter]
  kPool,        // [pool.NAME]
  kBoth,        // [arbiter], which is then the default for pools, or [pool.NAME]
};

// Headings of the help text, in this order.
enum class Group : std::uint8_t {
  kProgram,
  kApplication,
  kListening,
  kWorkers,
  kTimeLimits,
  kRecycling,
  kAsgi,
  kRequests,
  kProxies,
  kLogging,
  kProcess,
  kHooks,
  kGunicorn,  // known to gunicorn and refused here, or without effect
};

enum class Support : std::uint8_t {
  kImplemented,
  kNoEffect,  // accepted; what it is for holds in Corn whatever its value
  kRefused,   // anything but its default is an error that tells the reason
};

// When a changed value takes effect on reload.
enum class OnReload : std::uint8_t {
  kApplied,
  kNewListeners,  // for listeners opened from then on; those that stay keep theirs
  kRestart,       // never: the arbiter keeps the value it was started with
};

struct Setting {
  std::string_view name = {};         // gunicorn's, where gunicorn has the setting
  std::string_view flags = {};        // "-w, --workers"; empty: in files only
  std::string_view placeholder = {};  // of the flag's value in help: "N"
  Kind kind = Kind::kText;
  Scope scope = Scope::kPool;
  Group group = Group::kGunicorn;
  bool gunicorn = true;                // false: Corn's own
  std::string_view default_text = {};  // in command-line spelling; empty: unset
  std::string_view default_note = {};  // shown in help in place of default_text
  std::int64_t minimum = 0;            // kWhole, kBytes: in units; kSeconds: in seconds
  std::int64_t maximum = std::numeric_limits<std::int64_t>::max();
  std::int64_t ceiling = 0;           // kWhole: more is taken for so much, and told; 0: none
  std::string_view choices = {};      // kChoice: "text|json"
  std::string_view wanted = {};       // what is allowed, where kind, range and choices don't say it
  std::string_view environment = {};  // a variable that gives the default
  std::string_view help = {};         // a sentence or two, for --help and the reference
  std::string_view more = {};         // for the reference only
  Support support = Support::kImplemented;
  std::string_view reason = {};  // kRefused: why, and what to do; kNoEffect: why
  OnReload on_reload = OnReload::kApplied;
  bool flag_value = true;       // kSwitch: what the flag sets
  bool optional_value = false;  // the flag may stand without a value, which then is "auto"
  bool repeatable = false;      // the flag's values add up; otherwise the last one counts
  bool numeric_text = false;    // kText: a number is taken for its digits

  // Looks at a value that fits its kind; the answer says what is wrong with it, empty when nothing
  // is.
  std::string (*problem)(const Value&) = nullptr;
  // Put a set value where the rest of arbiterd reads it.
  void (*to_arbiter)(const Value&, ArbiterSettings&) = nullptr;
  void (*to_pool)(const Value&, PoolSettings&) = nullptr;
};

// All settings, in the order in which they are shown.
std::span<const Setting> schema();

// By name; nullptr when there is none.
const Setting* find_setting(std::string_view name);

// By a flag as typed, "-w" or "--workers"; nullptr when there is none.
const Setting* find_flag(std::string_view flag);

// "-w", "--workers".
std::vector<std::string_view> flags_of(const Setting& setting);
// "--workers"; the first long flag.
std::string_view long_flag(const Setting& setting);

std::vector<std::string_view> choices_of(const Setting& setting);

// What is allowed, to stand before " is wanted": "a whole number from 1 to 1000".
std::string wanted(const Setting& setting);

// The value in force when no source gives one.
Value default_value(const Setting& setting);

inline bool for_arbiter(const Setting& setting) {
  return setting.scope == Scope::kArbiter || setting.scope == Scope::kBoth;
}
inline bool for_pool(const Setting& setting) {
  return setting.scope == Scope::kPool || setting.scope == Scope::kBoth;
}

std::string_view title(Group group);

// Whether the hook of that name is called on the arbiter's behalf, in a template process; the
// others are called around the fork of a worker or in it.
bool runs_in_arbiter(std::string_view hook);

}  // namespace corn::config
