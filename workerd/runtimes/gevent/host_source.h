// SPDX-License-Identifier: Apache-2.0
// The Python part of this room, compiled into the program.
#pragma once

namespace corn::gevent {

extern const char* const kHostSource;  // host.py

}  // namespace corn::gevent
