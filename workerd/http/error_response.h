// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "workerd/http/error.h"

namespace corn::http {

// Appends a whole response made by the engine itself: a short text/plain body that names the status
// and the reason, Date, Content-Length and Connection: close. With `head_method` the body is left
// out.
void append_error_response(const ProtocolError& error, bool head_method, std::string_view date,
                           std::string& out);

}  // namespace corn::http
