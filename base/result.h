// SPDX-License-Identifier: Apache-2.0
// Expected failures are values: functions that can fail for reasons outside the program return
// Result<T>. Broken invariants are not expected; they abort (see base/check.h).
#pragma once

#include <cstring>
#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace corn::base {

// Why an operation failed, in words for the person who can mend it: what was attempted, on what
// object, why it failed, and where there is one, the remedy.
struct Error {
  std::string message;
  int os_errno = 0;  // errno(3) where the kernel refused, otherwise 0
};

template <typename T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

inline tl::unexpected<Error> fail(std::string message, int os_errno = 0) {
  return tl::unexpected<Error>(Error{std::move(message), os_errno});
}

// "WHAT: STRERROR", for a failed system call.
inline tl::unexpected<Error> fail_errno(const std::string& what, int os_errno) {
  return fail(what + ": " + std::strerror(os_errno), os_errno);
}

}  // namespace corn::base
