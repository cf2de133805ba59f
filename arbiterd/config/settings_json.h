// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "arbiterd/config/given.h"
#include "arbiterd/config/settings.h"

namespace corn::config {

// What hooks see as `cfg`: every setting's value under its name, refused ones at their defaults, a
// JSON object with the types that gunicorn's have: numbers (durations in seconds), true and false,
// texts, lists of texts, null for what is unset. Hooks are left out: they are functions.
std::string settings_json(const InForceByName& pool, const InForceByName& arbiter,
                          const PoolSettings& settled);

}  // namespace corn::config
