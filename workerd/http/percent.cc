// SPDX-License-Identifier: Apache-2.0
#include "workerd/http/percent.h"

#include <cstddef>

#include "workerd/http/chars.h"

namespace corn::http {
namespace {

unsigned hex_value(char c) {
  return is(c, kDigit) ? static_cast<unsigned>(c - '0')
                       : static_cast<unsigned>(to_lower(c) - 'a') + 10U;
}

}  // namespace

void percent_decode(std::string_view raw, std::string& out) {
  out.clear();
  for (;;) {
    const std::size_t percent = raw.find('%');
    out.append(raw.substr(0, percent));
    if (percent == std::string_view::npos) return;
    raw.remove_prefix(percent);
    if (raw.size() >= 3 && is(raw[1], kHexDigit) && is(raw[2], kHexDigit)) {
      out += static_cast<char>(hex_value(raw[1]) << 4U | hex_value(raw[2]));
      raw.remove_prefix(3);
    } else {
      out += '%';
      raw.remove_prefix(1);
    }
  }
}

}  // namespace corn::http
