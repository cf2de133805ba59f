// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "arbiterd/control/call.h"
#include "corn/control/v1/control.pb.h"

namespace corn::control {

using EventCall = StreamCall<v1::WatchEventsRequest, v1::Event>;

// Handles WatchEvents. What a client hasn't read yet is limited. A client that falls behind in the
// history from before its call is waited for, without a subscription, and goes on from where it is
// (or is told OUT_OF_RANGE, if that part is no longer kept by then); one that falls behind what
// happens now is cut off.
void watch_events(const EventCall::Pointer& call);

}  // namespace corn::control
