// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace corn::ctl {

// Time limits of commands that change something and wait for it, and of all others.
inline constexpr std::chrono::seconds kWaitingLimit{120};
inline constexpr std::chrono::seconds kQuickLimit{10};

// The options that every command has.
struct Session {
  std::string control;   // --control; empty: not given
  std::string instance;  // -i; empty: not given
  bool json = false;
  std::optional<double> timeout;  // seconds

  // The limit of a command whose default is this.
  [[nodiscard]] std::chrono::duration<double> limit(std::chrono::seconds otherwise) const {
    return timeout ? std::chrono::duration<double>(*timeout) : otherwise;
  }
};

}  // namespace corn::ctl
