// SPDX-License-Identifier: Apache-2.0
#include "workerd/runtimes/wsgi/log_variables.h"

#include <strings.h>

namespace corn::wsgi {
namespace {

using python::Ref;

// The value under the first key that differs from `name` in case only. Borrowed.
PyObject* find_in_any_case(PyObject* environ, const std::string& name) {
  Py_ssize_t position = 0;
  PyObject* key = nullptr;
  PyObject* value = nullptr;
  while (PyDict_Next(environ, &position, &key, &value) != 0) {
    if (!PyUnicode_Check(key)) continue;
    Py_ssize_t size = 0;
    const char* text = PyUnicode_AsUTF8AndSize(key, &size);
    if (text == nullptr) {
      PyErr_Clear();
    } else if (static_cast<std::size_t>(size) == name.size() &&
               ::strncasecmp(text, name.data(), name.size()) == 0) {
      return value;
    }
  }
  return nullptr;
}

// The bytes that a str stands for in WSGI (latin-1), or its UTF-8 where it has other characters.
void give_text(PyObject* text, std::size_t index, app::Responder& responder) {
  if (PyUnicode_READY(text) == 0 && PyUnicode_KIND(text) == PyUnicode_1BYTE_KIND) {
    responder.log_variable(index, {reinterpret_cast<const char*>(PyUnicode_1BYTE_DATA(text)),
                                   static_cast<std::size_t>(PyUnicode_GET_LENGTH(text))});
  } else {
    responder.log_variable(index, python::to_text(text));
  }
}

}  // namespace

LogVariables::LogVariables(std::span<const std::string> names) {
  for (const std::string& name : names) {
    PyObject* key = python::to_str(name).release();
    if (key != nullptr) PyUnicode_InternInPlace(&key);
    names_.push_back({Ref::steal(key), name});
  }
  PyErr_Clear();
}

void LogVariables::give(PyObject* environ, app::Responder& responder) const {
  for (std::size_t i = 0; i < names_.size(); ++i) {
    const Name& name = names_[i];
    PyObject* value = name.key ? PyDict_GetItemWithError(environ, name.key.get()) : nullptr;
    if (value == nullptr) value = find_in_any_case(environ, name.text);
    if (value == nullptr) continue;
    // str() runs the application's code, which may change the environ.
    const Ref kept = Ref::borrow(value);
    const Ref text = PyUnicode_Check(kept.get()) ? Ref::borrow(kept.get())
                                                 : Ref::steal(PyObject_Str(kept.get()));
    if (text) give_text(text.get(), i, responder);
  }
  PyErr_Clear();
}

}  // namespace corn::wsgi
