// SPDX-License-Identifier: Apache-2.0
// Python objects that requests have in common, kept so that a request makes as few as possible. All
// of it belongs to the interpreter's lock.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "workerd/http/field.h"
#include "workerd/runtimes/python/object.h"

namespace corn::asgi {

inline std::string_view view_of(PyObject* bytes) {
  return {PyBytes_AS_STRING(bytes), static_cast<std::size_t>(PyBytes_GET_SIZE(bytes))};
}

python::Ref to_bytes(std::string_view bytes);

// Remembers the last bytes or text it was asked for. What get() gives is borrowed until the next
// call; null with an exception set on failure.
class CachedBytes {
 public:
  PyObject* get(std::string_view bytes);

 private:
  python::Ref last_;
};

class CachedStr {
 public:
  PyObject* get(std::string_view text);  // UTF-8; what is not becomes U+FFFD

 private:
  std::string bytes_;
  python::Ref last_;
};

// The pairs of name, in lower case, and value that ASGI has for header fields. Clients send the
// same ones again and again: a pair that was sent last under the name is the same object.
// Direct-mapped: bounded, and what is in use displaces what is not.
class HeaderPairs {
 public:
  // A new reference; null with an exception set on failure.
  PyObject* get(const http::Field& field);

 private:
  struct Entry {
    std::string name;  // as clients write it
    python::Ref lower;
    python::Ref pair;  // null: values are not kept in memory beyond the request
    bool secret = false;
  };
  static constexpr std::size_t kEntries = 512;
  std::array<Entry, kEntries> entries_;
};

}  // namespace corn::asgi
