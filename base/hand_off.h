// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace corn::base {

// A datagram of this byte alone in a pool's queue of connections (arbiterd/os/hand_off_queue.h,
// workerd/server/hand_off.h): whoever takes it looks whether somebody waits to be accepted.
inline constexpr char kLookForNewcomers = '\0';

}  // namespace corn::base
