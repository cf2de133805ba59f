// SPDX-License-Identifier: Apache-2.0
#include "workerd/runtimes/wsgi/start_response.h"

#include <fmt/core.h>
#include <strings.h>
#include <structmember.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <vector>

#include "base/log.h"
#include "workerd/runtimes/python/gil.h"

namespace corn::wsgi {
namespace {

using python::Ref;

// Sending more copies for long enough to let other threads run meanwhile.
constexpr std::size_t kLongWrite = 64 * 1024;

struct Callable {
  PyObject object;
  vectorcallfunc vectorcall;
  Exchange* exchange;  // null: not bound
};

Callable* self_of(PyObject* object) { return reinterpret_cast<Callable*>(object); }

Exchange* exchange_of(PyObject* object, const char* name) {
  Exchange* exchange = self_of(object)->exchange;
  if (exchange == nullptr) {
    PyErr_Format(PyExc_RuntimeError, "%s was called after its request had ended", name);
  } else if (!exchange->on_own_thread()) {
    PyErr_Format(PyExc_RuntimeError, "%s must be called on the request's thread", name);
    return nullptr;
  }
  return exchange;
}

// The latin-1 bytes of a str, which PEP 3333 has status and header fields made of. They are what
// the str holds in memory, so that nothing is copied.
bool latin1_view(PyObject* object, const char* what, std::string_view& view) {
  if (!PyUnicode_Check(object)) {
    PyErr_Format(PyExc_TypeError, "%s must be a str, not %.100s", what, Py_TYPE(object)->tp_name);
    return false;
  }
  if (PyUnicode_READY(object) < 0) return false;
  if (PyUnicode_KIND(object) != PyUnicode_1BYTE_KIND) {
    PyErr_Format(PyExc_ValueError, "%s has characters beyond latin-1: %.200R", what, object);
    return false;
  }
  view = {reinterpret_cast<const char*>(PyUnicode_1BYTE_DATA(object)),
          static_cast<std::size_t>(PyUnicode_GET_LENGTH(object))};
  return true;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool check_status(std::string_view status, PyObject* object) {
  const bool right = status.size() >= 3 && is_digit(status[0]) && is_digit(status[1]) &&
                     is_digit(status[2]) && (status.size() == 3 || status[3] == ' ');
  if (!right) {
    PyErr_Format(
        PyExc_ValueError,
        "status must be three digits, a space and a reason, for example '200 OK', not %.200R",
        object);
  }
  return right;
}

bool read_field(PyObject* item, http::Field& field) {
  if (!PyTuple_Check(item) || PyTuple_GET_SIZE(item) != 2) {
    PyErr_Format(PyExc_TypeError, "a header must be a (name, value) tuple, not %.200R", item);
    return false;
  }
  return latin1_view(PyTuple_GET_ITEM(item, 0), "a header's name", field.name) &&
         latin1_view(PyTuple_GET_ITEM(item, 1), "a header's value", field.value);
}

void note_content_length(const http::Field& field, Exchange& exchange) {
  constexpr std::string_view kName = "content-length";
  if (field.name.size() != kName.size() ||
      ::strncasecmp(field.name.data(), kName.data(), kName.size()) != 0) {
    return;
  }
  std::uint64_t length = 0;
  const char* end = field.value.data() + field.value.size();
  if (std::from_chars(field.value.data(), end, length).ptr == end) exchange.content_length = length;
}

bool start(Exchange& exchange, PyObject* status, PyObject* headers) {
  std::string_view status_line;
  if (!latin1_view(status, "status", status_line) || !check_status(status_line, status))
    return false;
  if (!PyList_Check(headers) && !PyTuple_Check(headers)) {
    PyErr_Format(PyExc_TypeError, "headers must be a list of (name, value) tuples, not %.100s",
                 Py_TYPE(headers)->tp_name);
    return false;
  }
  const Py_ssize_t count = PySequence_Fast_GET_SIZE(headers);
  PyObject** items = PySequence_Fast_ITEMS(headers);
  constexpr std::size_t kUsualFields = 24;
  std::array<http::Field, kUsualFields> usual;
  std::vector<http::Field> many;
  std::span<http::Field> fields = usual;
  if (static_cast<std::size_t>(count) > kUsualFields) {
    many.resize(static_cast<std::size_t>(count));
    fields = many;
  }
  fields = fields.first(static_cast<std::size_t>(count));
  exchange.content_length.reset();
  for (std::size_t i = 0; i < fields.size(); ++i) {
    if (!read_field(items[i], fields[i])) return false;
    note_content_length(fields[i], exchange);
  }
  if (auto started = exchange.responder.start(status_line, fields); !started) {
    PyErr_SetString(PyExc_ValueError, started.error().message.c_str());
    return false;
  }
  exchange.started = true;
  return true;
}

// Raises the application's own exception again: its error page came too late, the head is out.
PyObject* raise_again(PyObject* exc_info) {
  PyObject* type = PyTuple_GET_ITEM(exc_info, 0);
  PyObject* value = PyTuple_GET_ITEM(exc_info, 1);
  PyObject* traceback = PyTuple_GET_ITEM(exc_info, 2);
  if (!PyExceptionClass_Check(type)) {
    PyErr_SetString(PyExc_TypeError, "exc_info does not start with an exception's type");
    return nullptr;
  }
  Py_INCREF(type);
  Py_XINCREF(value);
  Py_XINCREF(traceback);
  PyErr_Restore(type, value, traceback == Py_None ? nullptr : traceback);
  if (traceback == Py_None) Py_DECREF(traceback);
  return nullptr;
}

PyObject* start_response_call(PyObject* object, PyObject* const* arguments, std::size_t flags,
                              PyObject* keywords) {
  const Py_ssize_t positional = PyVectorcall_NARGS(flags);
  PyObject* exc_info = positional == 3 ? arguments[2] : Py_None;
  const Py_ssize_t named = keywords != nullptr ? PyTuple_GET_SIZE(keywords) : 0;
  if (named == 1 && positional == 2 &&
      PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(keywords, 0), "exc_info") == 0) {
    exc_info = arguments[2];
  } else if (named != 0 || positional < 2 || positional > 3) {
    PyErr_SetString(PyExc_TypeError, "start_response takes (status, headers, exc_info=None)");
    return nullptr;
  }
  if (exc_info != Py_None && (!PyTuple_Check(exc_info) || PyTuple_GET_SIZE(exc_info) != 3)) {
    PyErr_SetString(PyExc_TypeError, "exc_info must be what sys.exc_info() returns, or None");
    return nullptr;
  }
  Exchange* exchange = exchange_of(object, "start_response");
  if (exchange == nullptr) return nullptr;
  if (exchange->started) {
    if (exc_info == Py_None) {
      PyErr_SetString(PyExc_AssertionError,
                      "start_response was called before; an answer is replaced only with exc_info");
      return nullptr;
    }
    if (exchange->responder.head_sent()) return raise_again(exc_info);
  }
  if (!start(*exchange, arguments[0], arguments[1])) return nullptr;
  Py_INCREF(exchange->write);
  return exchange->write;
}

PyObject* write_call(PyObject* object, PyObject* const* arguments, std::size_t flags,
                     PyObject* keywords) {
  if (PyVectorcall_NARGS(flags) != 1 || keywords != nullptr || !PyBytes_Check(arguments[0])) {
    PyErr_SetString(PyExc_TypeError, "write takes one argument, which must be bytes");
    return nullptr;
  }
  Exchange* exchange = exchange_of(object, "write");
  if (exchange == nullptr) return nullptr;
  const std::string_view bytes(PyBytes_AS_STRING(arguments[0]),
                               static_cast<std::size_t>(PyBytes_GET_SIZE(arguments[0])));
  if (!bytes.empty() && !send(*exchange, bytes, false) && exchange->client_gone) {
    errno = EPIPE;
    return PyErr_SetFromErrno(PyExc_OSError);  // BrokenPipeError
  }
  Py_RETURN_NONE;
}

void callable_deallocate(PyObject* object) {
  PyTypeObject* type = Py_TYPE(object);
  type->tp_free(object);
  Py_DECREF(type);
}

Ref make_type(const char* name) {
  static PyMemberDef members[] = {
      {"__vectorcalloffset__", T_PYSSIZET, offsetof(Callable, vectorcall), READONLY, nullptr},
      {nullptr, 0, 0, 0, nullptr},
  };
  static PyType_Slot slots[] = {
      {Py_tp_dealloc, reinterpret_cast<void*>(&callable_deallocate)},
      {Py_tp_call, reinterpret_cast<void*>(&PyVectorcall_Call)},
      {Py_tp_members, members},
      {0, nullptr},
  };
  PyType_Spec spec = {
      name, static_cast<int>(sizeof(Callable)), 0,
      Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};
  return Ref::steal(PyType_FromSpec(&spec));
}

Ref new_callable(PyObject* type, vectorcallfunc function) {
  auto* type_object = reinterpret_cast<PyTypeObject*>(type);
  PyObject* object = type_object->tp_alloc(type_object, 0);
  if (object != nullptr) self_of(object)->vectorcall = function;
  return Ref::steal(object);
}

}  // namespace

Ref make_start_response_type() { return make_type("corn.StartResponse"); }

Ref make_write_type() { return make_type("corn.Write"); }

Ref new_start_response(PyObject* type) { return new_callable(type, &start_response_call); }

Ref new_write(PyObject* type) { return new_callable(type, &write_call); }

void bind_callable(PyObject* callable, Exchange* exchange) {
  self_of(callable)->exchange = exchange;
}

bool send(Exchange& exchange, std::string_view bytes, bool last) {
  if (exchange.client_gone) return false;
  base::Status status;
  {
    const python::GilYield yield(bytes.size() >= kLongWrite || exchange.responder.may_wait());
    status = exchange.responder.write(bytes, last);
  }
  if (status) return true;
  if (status.error().os_errno == EMSGSIZE) {
    if (!exchange.surplus_reported) {
      exchange.surplus_reported = true;
      base::log_warning(
          "The application gave more bytes than its Content-Length for {} {}; the surplus is not "
          "sent",
          exchange.request.head.method, exchange.request.head.target);
    }
    return false;
  }
  exchange.client_gone = true;
  base::log_debug("The response to {} {} ends early: {}", exchange.request.head.method,
                  exchange.request.head.target, status.error().message);
  return false;
}

}  // namespace corn::wsgi
