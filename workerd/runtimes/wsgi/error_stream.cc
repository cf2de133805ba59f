// SPDX-License-Identifier: Apache-2.0
#include "workerd/runtimes/wsgi/error_stream.h"

#include <string>

#include "base/log.h"

namespace corn::wsgi {
namespace {

using python::Ref;

// An unfinished line is logged in pieces of this size rather than kept for ever.
constexpr std::size_t kLongestUnfinishedLine = 64 * 1024;

thread_local std::string unfinished;

PyObject* stream_write(PyObject* /*self*/, PyObject* argument) {
  if (!PyUnicode_Check(argument)) {
    PyErr_Format(PyExc_TypeError, "wsgi.errors takes str, not %.100s", Py_TYPE(argument)->tp_name);
    return nullptr;
  }
  unfinished += python::to_text(argument);
  if (const auto end = unfinished.rfind('\n'); end != std::string::npos) {
    base::log_line(base::LogLevel::kError, std::string_view(unfinished).substr(0, end));
    unfinished.erase(0, end + 1);
  }
  if (unfinished.size() > kLongestUnfinishedLine) flush_error_stream();
  return PyLong_FromSsize_t(PyUnicode_GET_LENGTH(argument));
}

PyObject* stream_flush(PyObject* /*self*/, PyObject* /*unused*/) {
  flush_error_stream();
  Py_RETURN_NONE;
}

PyObject* stream_writable(PyObject* /*self*/, PyObject* /*unused*/) { Py_RETURN_TRUE; }

}  // namespace

Ref make_error_stream() {
  static PyMethodDef methods[] = {
      {"write", &stream_write, METH_O, "write(text, /)\n--\n\nLogs the lines that text completes."},
      {"flush", &stream_flush, METH_NOARGS, "flush()\n--\n\nLogs an unfinished line."},
      {"writable", &stream_writable, METH_NOARGS, "writable()\n--\n\nTrue."},
      {nullptr, nullptr, 0, nullptr},
  };
  static PyType_Slot slots[] = {{Py_tp_methods, methods}, {0, nullptr}};
  static PyType_Spec spec = {"corn.ErrorStream", 0, 0, Py_TPFLAGS_DEFAULT, slots};
  const Ref io = Ref::steal(PyImport_ImportModule("io"));
  if (!io) return {};
  const Ref base = Ref::steal(PyObject_GetAttrString(io.get(), "TextIOBase"));
  if (!base) return {};
  const Ref type = Ref::steal(PyType_FromSpecWithBases(&spec, base.get()));
  return type ? Ref::steal(PyObject_CallNoArgs(type.get())) : Ref();
}

void flush_error_stream() {
  if (unfinished.empty()) return;
  base::log_line(base::LogLevel::kError, unfinished);
  unfinished.clear();
}

}  // namespace corn::wsgi
