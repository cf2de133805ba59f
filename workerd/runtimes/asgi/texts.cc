// SPDX-License-Identifier: Apache-2.0
#include "workerd/runtimes/asgi/texts.h"

#include "workerd/http/chars.h"

namespace corn::asgi {

using python::Ref;

namespace {

// FNV-1a.
std::size_t hash(std::string_view bytes) {
  std::uint64_t value = 0xcbf29ce484222325U;
  for (const char c : bytes) {
    value ^= static_cast<unsigned char>(c);
    value *= 0x100000001b3U;
  }
  return static_cast<std::size_t>(value ^ (value >> 32U));
}

// Values longer than this are made anew each time.
constexpr std::size_t kLongestKept = 1024;

}  // namespace

Ref to_bytes(std::string_view bytes) {
  return Ref::steal(PyBytes_FromStringAndSize(bytes.data(), static_cast<Py_ssize_t>(bytes.size())));
}

PyObject* CachedBytes::get(std::string_view bytes) {
  if (!last_ || view_of(last_.get()) != bytes) last_ = to_bytes(bytes);
  return last_.get();
}

PyObject* CachedStr::get(std::string_view text) {
  if (!last_ || bytes_ != text) {
    bytes_ = text;
    last_ = Ref::steal(
        PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace"));
  }
  return last_.get();
}

PyObject* HeaderPairs::get(const http::Field& field) {
  Entry& entry = entries_[hash(field.name) % kEntries];
  if (!entry.lower || entry.name != field.name) {
    std::string lower(field.name);
    for (char& c : lower) c = http::to_lower(c);
    entry.name = field.name;
    entry.pair = Ref();
    entry.secret = lower == "cookie" || lower == "authorization" || lower == "proxy-authorization";
    entry.lower = to_bytes(lower);
    if (!entry.lower) return nullptr;
  }
  if (entry.pair && view_of(PyTuple_GET_ITEM(entry.pair.get(), 1)) == field.value) {
    return Py_NewRef(entry.pair.get());
  }
  Ref value = to_bytes(field.value);
  if (!value) return nullptr;
  PyObject* pair = PyTuple_New(2);
  if (pair == nullptr) return nullptr;
  PyTuple_SET_ITEM(pair, 0, Py_NewRef(entry.lower.get()));
  PyTuple_SET_ITEM(pair, 1, value.release());
  if (!entry.secret && field.value.size() <= kLongestKept) entry.pair = Ref::borrow(pair);
  return pair;
}

}  // namespace corn::asgi
