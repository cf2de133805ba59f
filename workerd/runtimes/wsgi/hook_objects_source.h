// SPDX-License-Identifier: Apache-2.0
// The Python part of this room, compiled into the program.
#pragma once

namespace corn::wsgi {

extern const char* const kHookObjectsSource;  // hook_objects.py

}  // namespace corn::wsgi
