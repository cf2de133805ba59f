// SPDX-License-Identifier: Apache-2.0
// CORN_CHECK aborts with file, line and condition when an invariant is broken, in every build type.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace corn::base {

[[noreturn]] inline void check_failed(const char* file, int line, const char* condition) {
  std::fprintf(stderr, "%s:%d: invariant broken: %s\n", file, line, condition);
  std::abort();
}

}  // namespace corn::base

#define CORN_CHECK(condition)                                     \
  do {                                                            \
    if (!(condition)) [[unlikely]] {                              \
      ::corn::base::check_failed(__FILE__, __LINE__, #condition); \
    }                                                             \
  } while (false)
