// SPDX-License-Identifier: Apache-2.0
// The door's value types in the API's messages. Text is cleaned on the way (text.h), counts that
// are wider inside are cut to the API's range.
#pragma once

#include <string_view>
#include <vector>

#include "arbiterd/driver/door/door.h"
#include "corn/control/v1/control.pb.h"

namespace corn::control {

namespace api = ::corn::control::v1;

// Only `pool` of the pools, unless it is empty. False: there is no such pool.
bool to_message(const driver::StatusSnapshot& snapshot, std::string_view pool,
                api::GetStatusResponse& message);

// Only `pool`'s settings and the arbiter's own, unless it is empty. False: there is no such pool.
bool to_message(const std::vector<driver::EffectiveSetting>& settings, std::string_view pool,
                api::GetConfigResponse& message);

void to_message(const driver::WorkerDump& dump, api::DumpWorkerResponse& message);

api::Event to_message(const driver::HistoryEvent& event);

}  // namespace corn::control
