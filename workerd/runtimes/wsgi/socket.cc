// SPDX-License-Identifier: Apache-2.0
#include "workerd/runtimes/wsgi/socket.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace corn::wsgi {
namespace {

using python::Ref;

struct Socket {
  PyObject object;
  Exchange* exchange;  // null: not bound
  PyObject* real;      // a socket.socket over a descriptor of its own; null: not used yet
};

Socket* self_of(PyObject* object) { return reinterpret_cast<Socket*>(object); }

bool only_looks(PyObject* name) {
  for (const char* harmless : {"family", "type", "proto", "fileno", "getpeername", "getsockname",
                               "getsockopt", "setsockopt", "gettimeout", "timeout"}) {
    if (PyUnicode_CompareWithASCIIString(name, harmless) == 0) return true;
  }
  return false;
}

PyObject* make_real(int connection) {
  const Ref module = Ref::steal(PyImport_ImportModule("socket"));
  const Ref type = module ? Ref::steal(PyObject_GetAttrString(module.get(), "socket")) : Ref();
  if (!type) return nullptr;
  const int descriptor = ::fcntl(connection, F_DUPFD_CLOEXEC, 0);
  if (descriptor < 0) return PyErr_SetFromErrno(PyExc_OSError);
  const Ref arguments = Ref::steal(PyTuple_New(0));
  const Ref keywords = Ref::steal(Py_BuildValue("{s:i}", "fileno", descriptor));
  PyObject* made =
      arguments && keywords ? PyObject_Call(type.get(), arguments.get(), keywords.get()) : nullptr;
  if (made == nullptr) ::close(descriptor);
  return made;
}

// The application reads and writes for itself from now on, and waits as with any socket.
bool take_over(Socket* socket) {
  Exchange& exchange = *socket->exchange;
  if (!exchange.on_own_thread()) {
    PyErr_SetString(PyExc_RuntimeError,
                    "gunicorn.socket must be read or written on the request's thread first");
    return false;
  }
  if (auto status = exchange.responder.hand_over(); !status) {
    PyErr_Format(PyExc_RuntimeError, "gunicorn.socket cannot be used now: %s",
                 status.error().message.c_str());
    return false;
  }
  exchange.handed_over = true;
  return static_cast<bool>(
      Ref::steal(PyObject_CallMethod(socket->real, "settimeout", "O", Py_None)));
}

PyObject* get_attribute(PyObject* object, PyObject* name) {
  Socket* socket = self_of(object);
  if (PyUnicode_GET_LENGTH(name) > 1 && PyUnicode_READ_CHAR(name, 0) == '_') {
    return PyObject_GenericGetAttr(object, name);
  }
  if (socket->exchange == nullptr) {
    PyErr_SetString(PyExc_RuntimeError, "gunicorn.socket was used after its request had ended");
    return nullptr;
  }
  if (socket->real == nullptr) {
    socket->real = make_real(socket->exchange->request.connection.socket);
    if (socket->real == nullptr) return nullptr;
  }
  const Ref attribute = Ref::steal(PyObject_GetAttr(socket->real, name));
  if (!attribute) return nullptr;
  if (!only_looks(name) && !socket->exchange->handed_over && !take_over(socket)) return nullptr;
  Py_INCREF(attribute.get());
  return attribute.get();
}

void drop_real(Socket* socket) {
  const Ref real = Ref::steal(std::exchange(socket->real, nullptr));
  if (real && !Ref::steal(PyObject_CallMethod(real.get(), "close", nullptr))) PyErr_Clear();
}

void deallocate(PyObject* object) {
  PyTypeObject* type = Py_TYPE(object);
  drop_real(self_of(object));
  type->tp_free(object);
  Py_DECREF(type);
}

}  // namespace

Ref make_socket_type() {
  static PyType_Slot slots[] = {
      {Py_tp_dealloc, reinterpret_cast<void*>(&deallocate)},
      {Py_tp_getattro, reinterpret_cast<void*>(&get_attribute)},
      {0, nullptr},
  };
  static PyType_Spec spec = {"corn.Socket", static_cast<int>(sizeof(Socket)), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};
  return Ref::steal(PyType_FromSpec(&spec));
}

Ref new_socket(PyObject* type) {
  auto* type_object = reinterpret_cast<PyTypeObject*>(type);
  return Ref::steal(type_object->tp_alloc(type_object, 0));
}

void bind_socket(PyObject* object, Exchange* exchange) {
  Socket* socket = self_of(object);
  socket->exchange = exchange;
  if (socket->real != nullptr) drop_real(socket);
}

}  // namespace corn::wsgi
