// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Python.h>

#include <string>
#include <string_view>
#include <utility>

namespace corn::python {

// Owns one reference to a Python object, or none. Copying, assigning and destroying need the
// interpreter's lock.
class Ref {
 public:
  Ref() = default;
  Ref(Ref&& other) noexcept : object_(other.release()) {}
  Ref& operator=(Ref&& other) noexcept {
    PyObject* old = std::exchange(object_, other.release());
    Py_XDECREF(old);
    return *this;
  }
  Ref(const Ref&) = delete;
  Ref& operator=(const Ref&) = delete;
  ~Ref() { Py_XDECREF(object_); }

  // Takes over a new reference, as most functions of the C API return one; null stays null.
  static Ref steal(PyObject* object) { return Ref(object); }
  // Adds a reference to a borrowed one.
  static Ref borrow(PyObject* object) {
    Py_XINCREF(object);
    return Ref(object);
  }

  [[nodiscard]] PyObject* get() const { return object_; }
  explicit operator bool() const { return object_ != nullptr; }
  [[nodiscard]] PyObject* release() { return std::exchange(object_, nullptr); }

 private:
  explicit Ref(PyObject* object) : object_(object) {}

  PyObject* object_ = nullptr;
};

// A str of UTF-8 or file system bytes; bytes that are not UTF-8 become surrogates (PEP 383).
inline Ref to_str(std::string_view bytes) {
  return Ref::steal(
      PyUnicode_DecodeUTF8(bytes.data(), static_cast<Py_ssize_t>(bytes.size()), "surrogateescape"));
}

// The UTF-8 bytes of a str; what has no such form is written as \udcHH. Empty for anything but a
// str.
inline std::string to_text(PyObject* object) {
  if (object == nullptr || !PyUnicode_Check(object)) return {};
  const Ref bytes = Ref::steal(PyUnicode_AsEncodedString(object, "utf-8", "backslashreplace"));
  if (!bytes) {
    PyErr_Clear();
    return {};
  }
  return {PyBytes_AS_STRING(bytes.get()), static_cast<std::size_t>(PyBytes_GET_SIZE(bytes.get()))};
}

}  // namespace corn::python
