// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace corn::http {

// A header field. Views: who holds the bytes is said where fields are handed over.
struct Field {
  std::string_view name;
  std::string_view value;

  friend bool operator==(const Field&, const Field&) = default;
};

}  // namespace corn::http
