// SPDX-License-Identifier: Apache-2.0
// What must hold whatever happens: random histories, each from a seed. CORN_SEED=N runs one of
// them; CORN_RUNS=N runs that many.
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/fakes/core_world.h"

namespace corn::core {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr ? std::strtoull(value, nullptr, 10) : otherwise;
}

// Empty: everything held.
std::string run(std::uint64_t seed, bool keep_log) {
  fakes::CoreWorld world(seed, keep_log);
  world.live(seconds(20 + static_cast<std::int64_t>(seed % 100)));
  if (seed % 3 != 0) {
    world.calm_down(minutes(4));
    world.check_settled();
  }
  world.terminate();
  return world.broken();
}

void expect_all_holds(std::uint64_t seed) {
  if (run(seed, false).empty()) return;
  FAIL() << "seed " << seed << "\n" << run(seed, true);
}

TEST(CoreProperties, HoldInRandomHistories) {
  if (const std::uint64_t seed = from_environment("CORN_SEED", 0); seed != 0) {
    expect_all_holds(seed);
    return;
  }
  const std::uint64_t runs = from_environment("CORN_RUNS", 2000);
  for (std::uint64_t seed = 1; seed <= runs && !HasFatalFailure(); ++seed) {
    expect_all_holds(seed);
  }
}

TEST(CoreProperties, TheSameSeedGivesTheSameHistory) {
  fakes::CoreWorld one(42);
  fakes::CoreWorld other(42);
  one.live(seconds(60));
  other.live(seconds(60));
  EXPECT_EQ(one.events(), other.events());
}

}  // namespace
}  // namespace corn::core
