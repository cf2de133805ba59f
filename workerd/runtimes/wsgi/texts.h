// SPDX-License-Identifier: Apache-2.0
// Python strings that requests have in common, kept so that a request makes as few objects as
// possible. All of it belongs to the interpreter's lock.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "workerd/runtimes/python/object.h"

namespace corn::wsgi {

// A str with a code point per byte, as PEP 3333 has them ("latin-1"). Null with an exception set on
// failure.
python::Ref to_native(std::string_view bytes);

// Remembers the last text it was asked for.
class CachedText {
 public:
  // The str of `bytes`, the same object as last time if the bytes are the same. Borrowed until the
  // next call; null with an exception set on failure.
  PyObject* get(std::string_view bytes);

 private:
  python::Ref last_;
};

// What an environ key means to the one who fills the environ.
enum class HeaderKind : std::uint8_t {
  kPlain,
  kCookie,  // several are joined by "; ", not ","
  kHost,
  kScriptName,  // the field SCRIPT_NAME, which the parser lets through from trusted peers only
};

struct Header {
  std::string name;  // as clients write it
  python::Ref key;   // "HTTP_USER_AGENT", interned
  CachedText value;
  HeaderKind kind = HeaderKind::kPlain;
  bool secret = false;  // its values are not kept in memory beyond the request
};

// The environ keys of header fields, by the field names as they come. Direct-mapped: bounded, and
// what is in use displaces what is not.
class HeaderCache {
 public:
  // Null with an exception set on failure. Valid until the next call.
  Header* find(std::string_view name);

 private:
  static constexpr std::size_t kEntries = 1024;
  std::array<Header, kEntries> entries_;
};

// str objects of small numbers that change from connection to connection, not from request to
// request.
class PortCache {
 public:
  // Borrowed until the next call.
  PyObject* get(std::uint16_t port);

 private:
  static constexpr std::size_t kEntries = 64;
  struct Entry {
    std::uint16_t port = 0;
    python::Ref text;
  };
  std::array<Entry, kEntries> entries_;
};

}  // namespace corn::wsgi
