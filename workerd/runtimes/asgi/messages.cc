// SPDX-License-Identifier: Apache-2.0
#include "workerd/runtimes/asgi/messages.h"

#include <cerrno>
#include <utility>

namespace corn::asgi {
namespace {

using python::Ref;

bool as_view(PyObject* object, const char* what, std::string_view& out) {
  if (!PyBytes_Check(object)) {
    PyErr_Format(PyExc_TypeError, "%s is bytes, not '%.100s'", what, Py_TYPE(object)->tp_name);
    return false;
  }
  out = view_of(object);
  return true;
}

bool write(app::Responder& responder, std::string_view bytes, bool last) {
  const auto written = responder.write(bytes, last);
  if (written || written.error().os_errno == EPIPE) return true;
  PyErr_SetString(PyExc_RuntimeError, written.error().message.c_str());
  return false;
}

}  // namespace

bool read_headers(PyObject* headers, std::vector<http::Field>& fields, std::vector<Ref>& kept) {
  Ref list = Ref::steal(PySequence_Fast(headers, "headers are a sequence of pairs"));
  if (!list) return false;
  const Py_ssize_t count = PySequence_Fast_GET_SIZE(list.get());
  fields.reserve(static_cast<std::size_t>(count));
  for (Py_ssize_t i = 0; i < count; ++i) {
    Ref pair = Ref::steal(PySequence_Fast(PySequence_Fast_GET_ITEM(list.get(), i),
                                          "a header is a pair of name and value"));
    if (!pair) return false;
    if (PySequence_Fast_GET_SIZE(pair.get()) != 2) {
      PyErr_SetString(PyExc_ValueError, "a header is a pair of name and value");
      return false;
    }
    http::Field field;
    if (!as_view(PySequence_Fast_GET_ITEM(pair.get(), 0), "a header's name", field.name) ||
        !as_view(PySequence_Fast_GET_ITEM(pair.get(), 1), "a header's value", field.value)) {
      return false;
    }
    fields.push_back(field);
    kept.push_back(std::move(pair));
  }
  kept.push_back(std::move(list));
  return true;
}

bool start_answer(Context& context, app::Responder& responder, PyObject* message) {
  PyObject* status = PyDict_GetItemWithError(message, context.names.status.get());
  if (status == nullptr) {
    if (PyErr_Occurred() == nullptr) {
      PyErr_SetString(PyExc_KeyError, "the start of an answer has a 'status'");
    }
    return false;
  }
  const long code = PyLong_AsLong(status);
  if (code == -1 && PyErr_Occurred() != nullptr) return false;
  PyObject* line = context.status_line(code);
  if (line == nullptr) return false;
  std::vector<http::Field> fields;
  std::vector<Ref> kept;
  PyObject* headers = PyDict_GetItemWithError(message, context.names.headers.get());
  if (headers != nullptr ? !read_headers(headers, fields, kept) : PyErr_Occurred() != nullptr) {
    return false;
  }
  if (auto begun = responder.start(view_of(line), fields); !begun) {
    PyErr_SetString(PyExc_ValueError, begun.error().message.c_str());
    return false;
  }
  return true;
}

bool write_answer(const Context& context, app::Responder& responder, PyObject* message,
                  bool& last) {
  PyObject* more = PyDict_GetItemWithError(message, context.names.more_body.get());
  PyObject* body = PyDict_GetItemWithError(message, context.names.body.get());
  const int continued = more != nullptr ? PyObject_IsTrue(more) : 0;
  if (continued < 0 || PyErr_Occurred() != nullptr) return false;
  last = continued == 0;
  if (body == nullptr) return write(responder, {}, last);
  if (PyBytes_Check(body)) return write(responder, view_of(body), last);
  Py_buffer buffer;
  if (PyObject_GetBuffer(body, &buffer, PyBUF_SIMPLE) < 0) return false;
  const bool written =
      write(responder, {static_cast<const char*>(buffer.buf), static_cast<std::size_t>(buffer.len)},
            last);
  PyBuffer_Release(&buffer);
  return written;
}

}  // namespace corn::asgi
