// SPDX-License-Identifier: Apache-2.0
// From merged values to what the rest of arbiterd reads: paths made absolute, defaults that depend
// on other settings filled in, and what only shows in combination checked.
#pragma once

#include <string>

#include "arbiterd/config/given.h"
#include "arbiterd/config/settings.h"
#include "arbiterd/config/sources.h"

namespace corn::config {

// More than the setting's `ceiling`, for which it is taken.
bool is_over_ceiling(const Setting& setting, const Value& value);

// Relative paths start from `directory`.
ArbiterSettings assemble_arbiter(const InForceByName& in_force, const std::string& directory,
                                 Problems& problems);

// `where` names the pool's place in messages: "corn.toml:3: [pool.web]"; empty for the only pool of
// a command line.
PoolSettings assemble_pool(const std::string& name, const std::string& where,
                           const InForceByName& in_force, const Invocation& invocation,
                           Problems& problems);

// Addresses that are bound twice, within a pool or by two pools.
void check_binds(const std::vector<PoolSettings>& pools, Problems& problems);

}  // namespace corn::config
