// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <strings.h>

#include <string_view>

namespace corn::server {

// Names of header fields are the same whatever their case (RFC 9110 section 5.1).
inline bool same_field_name(std::string_view a, std::string_view b) {
  return a.size() == b.size() && ::strncasecmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace corn::server
