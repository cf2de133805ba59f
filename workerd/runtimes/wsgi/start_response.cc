// SPDX-License-Identifier: Apache-2.0
#include "workerd/runtimes/wsgi/start_response.h"

#include <fmt/core.h>
#include <structmember.h>

#include <array>
#include <cerrno>
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

// Whether header fields are str only (PEP 3333), or bytes too.
enum class Texts { kStr, kStrOrBytes };

bool field_view(PyObject* object, Texts texts, const char* what, std::string_view& view) {
  if (texts == Texts::kStrOrBytes && PyBytes_Check(object)) {
    view = {PyBytes_AS_STRING(object), static_cast<std::size_t>(PyBytes_GET_SIZE(object))};
    return true;
  }
  return latin1_view(object, what, view);
}

// A pair is a tuple (PEP 3333) or, as gunicorn takes it, a list.
bool read_field(PyObject* item, Texts texts, http::Field& field) {
  if (!(PyTuple_Check(item) || PyList_Check(item)) || PySequence_Fast_GET_SIZE(item) != 2) {
    PyErr_Format(PyExc_TypeError, "a header must be a (name, value) tuple, not %.200R", item);
    return false;
  }
  return field_view(PySequence_Fast_GET_ITEM(item, 0), texts, "a header's name", field.name) &&
         field_view(PySequence_Fast_GET_ITEM(item, 1), texts, "a header's value", field.value);
}

// Header fields as the engine takes them, views into the objects of `headers`.
class Fields {
 public:
  // False with an exception set.
  bool read(PyObject* headers, Texts texts) {
    // A mapping's items() or a generator is no list, but gunicorn takes it.
    sequence_ = Ref::steal(PySequence_Fast(headers, ""));
    if (!sequence_) {
      if (PyErr_ExceptionMatches(PyExc_TypeError) != 0 && !PyIter_Check(headers)) {
        PyErr_Format(PyExc_TypeError, "headers must be a list of (name, value) tuples, not %.100s",
                     Py_TYPE(headers)->tp_name);
      }
      return false;
    }
    const auto count = static_cast<std::size_t>(PySequence_Fast_GET_SIZE(sequence_.get()));
    PyObject** items = PySequence_Fast_ITEMS(sequence_.get());
    if (count > usual_.size()) {
      many_.resize(count);
      fields_ = many_;
    } else {
      fields_ = std::span(usual_).first(count);
    }
    for (std::size_t i = 0; i < count; ++i) {
      if (!read_field(items[i], texts, fields_[i])) return false;
    }
    return true;
  }
  [[nodiscard]] std::span<const http::Field> get() const { return fields_; }
  // The objects that the fields are views of, which end with them.
  [[nodiscard]] Ref take_sequence() { return std::move(sequence_); }

 private:
  static constexpr std::size_t kUsualFields = 24;
  Ref sequence_;
  std::array<http::Field, kUsualFields> usual_;
  std::vector<http::Field> many_;
  std::span<http::Field> fields_;
};

bool start(Exchange& exchange, PyObject* status, PyObject* headers) {
  std::string_view status_line;
  if (!latin1_view(status, "status", status_line) || !check_status(status_line, status))
    return false;
  Fields fields;
  if (!fields.read(headers, Texts::kStr)) return false;
  if (auto started = exchange.responder.start(status_line, fields.get()); !started) {
    PyErr_SetString(PyExc_ValueError, started.error().message.c_str());
    return false;
  }
  exchange.started = true;
  if (exchange.answer != nullptr) {
    exchange.answer->status = Ref::borrow(status);
    exchange.answer->headers = fields.take_sequence();
  }
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
    if (PyErr_Occurred() != nullptr) return nullptr;  // raised where it waited, a time-out say
    errno = EPIPE;
    return PyErr_SetFromErrno(PyExc_OSError);  // BrokenPipeError
  }
  Py_RETURN_NONE;
}

// Does nothing where hints can't be sent any more, as gunicorn's.
PyObject* early_hints_call(PyObject* object, PyObject* const* arguments, std::size_t flags,
                           PyObject* keywords) {
  if (PyVectorcall_NARGS(flags) != 1 || keywords != nullptr) {
    PyErr_SetString(PyExc_TypeError, "wsgi.early_hints takes one argument, a list of headers");
    return nullptr;
  }
  Exchange* exchange = exchange_of(object, "wsgi.early_hints");
  if (exchange == nullptr) return nullptr;
  Fields fields;
  if (!fields.read(arguments[0], Texts::kStrOrBytes)) return nullptr;
  if (auto sent = exchange->responder.early_hints(fields.get()); !sent) {
    PyErr_SetString(PyExc_ValueError, sent.error().message.c_str());
    return nullptr;
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

Ref make_early_hints_type() { return make_type("corn.EarlyHints"); }

Ref new_start_response(PyObject* type) { return new_callable(type, &start_response_call); }

Ref new_write(PyObject* type) { return new_callable(type, &write_call); }

Ref new_early_hints(PyObject* type) { return new_callable(type, &early_hints_call); }

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
  if (status) {
    if (exchange.answer != nullptr) exchange.answer->sent += bytes.size();
    return true;
  }
  if (status.error().os_errno == EMSGSIZE) {
    if (!exchange.surplus_reported) {
      exchange.surplus_reported = true;
      base::log_warning(
          "The application gave more bytes than its Content-Length for {} {}; the surplus is not "
          "sent",
          exchange.request.head.method, base::printable(exchange.request.head.target));
    }
    return false;
  }
  exchange.client_gone = true;
  base::log_debug("The response to {} {} ends early: {}", exchange.request.head.method,
                  base::printable(exchange.request.head.target), status.error().message);
  return false;
}

}  // namespace corn::wsgi
