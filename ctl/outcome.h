// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace corn::ctl {

// How cornctl ends; scripts rely on the numbers.
enum class ExitCode {
  kDone = 0,
  kFailed = 1,        // the arbiter was asked, and the operation failed
  kUsage = 2,         // nothing was asked: the command line, or which instance, isn't clear
  kNotReachable = 3,  // no arbiter there, or it went away meanwhile
  kTimedOut = 4,
  kNotAllowed = 5,
};

// Why a command did not do what it should, for the person who typed it; printed by main() alone. An
// empty message: everything has been said.
struct Failure {
  ExitCode code = ExitCode::kFailed;
  std::string message;
};

template <typename T>
using Expected = tl::expected<T, Failure>;
using Outcome = Expected<void>;

inline tl::unexpected<Failure> fail(ExitCode code, std::string message) {
  return tl::unexpected<Failure>(Failure{code, std::move(message)});
}

}  // namespace corn::ctl
