// SPDX-License-Identifier: Apache-2.0
#include "workerd/runtimes/asgi/awaitable.h"

namespace corn::asgi {
namespace {

using python::Ref;

// ---- an awaitable that is ready ----

PySendResult ready_send(PyObject* /*self*/, PyObject* /*argument*/, PyObject** result) {
  *result = Py_NewRef(Py_None);
  return PYGEN_RETURN;
}

PyObject* finish_at_once(PyObject* /*self*/, PyObject* /*unused*/) {
  PyErr_SetNone(PyExc_StopIteration);
  return nullptr;
}

PyObject* ready_next(PyObject* /*self*/) { return finish_at_once(nullptr, nullptr); }

PyObject* itself(PyObject* self) { return Py_NewRef(self); }

PyObject* itself_as_method(PyObject* self, PyObject* /*unused*/) { return Py_NewRef(self); }

PyObject* do_nothing(PyObject* /*self*/, PyObject* /*unused*/) { Py_RETURN_NONE; }

// throw(value) or throw(type, value, traceback), as coroutines have it: raises it.
PyObject* raise_arguments(PyObject* arguments) {
  PyObject* type = nullptr;
  PyObject* value = nullptr;
  PyObject* traceback = nullptr;
  if (PyArg_ParseTuple(arguments, "O|OO", &type, &value, &traceback) == 0) return nullptr;
  if (PyExceptionInstance_Check(type)) {
    PyErr_SetObject(PyExceptionInstance_Class(type), type);
  } else if (value != nullptr && PyExceptionInstance_Check(value)) {
    PyErr_SetObject(type, value);
  } else if (PyExceptionClass_Check(type)) {
    PyErr_SetNone(type);
  } else {
    PyErr_SetString(PyExc_TypeError, "throw() takes an exception");
  }
  return nullptr;
}

PyObject* ready_throw(PyObject* /*self*/, PyObject* arguments) {
  return raise_arguments(arguments);
}

Ref make_ready_type() {
  static PyMethodDef methods[] = {
      {"send", &finish_at_once, METH_O, nullptr},
      {"throw", &ready_throw, METH_VARARGS, nullptr},
      {"close", &do_nothing, METH_NOARGS, nullptr},
      {nullptr, nullptr, 0, nullptr},
  };
  static PyType_Slot slots[] = {
      {Py_am_await, reinterpret_cast<void*>(&itself)},
      {Py_am_send, reinterpret_cast<void*>(&ready_send)},
      {Py_tp_iter, reinterpret_cast<void*>(&itself)},
      {Py_tp_iternext, reinterpret_cast<void*>(&ready_next)},
      {Py_tp_methods, methods},
      {0, nullptr},
  };
  static PyType_Spec spec = {"corn.Ready", sizeof(PyObject), 0, Py_TPFLAGS_DEFAULT, slots};
  return Ref::steal(PyType_FromSpec(&spec));
}

// ---- one that asks its source ----

struct Awaitable {
  PyObject object;
  PyObject* owner;
  Source* source;
  PyObject* waiting;  // the iterator of the future that is waited for; null: none
  bool over;
};

Awaitable* self_of(PyObject* object) { return reinterpret_cast<Awaitable*>(object); }

PySendResult awaitable_send(PyObject* object, PyObject* argument, PyObject** result) {
  Awaitable* self = self_of(object);
  *result = nullptr;
  if (self->over) {
    PyErr_SetString(PyExc_RuntimeError, "this was awaited before");
    return PYGEN_ERROR;
  }
  for (;;) {
    if (self->waiting != nullptr) {
      PyObject* value = nullptr;
      const PySendResult sent = PyIter_Send(self->waiting, argument, &value);
      if (sent == PYGEN_NEXT) {
        *result = value;
        return sent;
      }
      Py_XDECREF(value);
      Py_CLEAR(self->waiting);
      if (sent == PYGEN_ERROR) {
        self->over = true;
        return sent;
      }
    }
    *result = self->source->poll();
    if (*result != nullptr || PyErr_Occurred() != nullptr) {
      self->over = true;
      return *result != nullptr ? PYGEN_RETURN : PYGEN_ERROR;
    }
    const Ref future = self->source->wait();
    self->waiting = future ? iterator_of(future.get()).release() : nullptr;
    if (self->waiting == nullptr) {
      self->over = true;
      return PYGEN_ERROR;
    }
    argument = Py_None;
  }
}

// The end of a coroutine as iterators have it.
PyObject* raise_result(PySendResult sent, PyObject* result) {
  if (sent != PYGEN_RETURN) return result;
  if (result == Py_None) {
    PyErr_SetNone(PyExc_StopIteration);
  } else {
    const Ref stop = Ref::steal(PyObject_CallOneArg(PyExc_StopIteration, result));
    if (stop) PyErr_SetObject(PyExc_StopIteration, stop.get());
  }
  Py_DECREF(result);
  return nullptr;
}

PyObject* awaitable_send_method(PyObject* object, PyObject* argument) {
  PyObject* result = nullptr;
  const PySendResult sent = awaitable_send(object, argument, &result);
  return raise_result(sent, result);
}

PyObject* awaitable_next(PyObject* object) { return awaitable_send_method(object, Py_None); }

PyObject* awaitable_throw(PyObject* object, PyObject* arguments) {
  Awaitable* self = self_of(object);
  if (self->waiting == nullptr) {
    self->over = true;
    return raise_arguments(arguments);
  }
  const Ref method = Ref::steal(PyObject_GetAttrString(self->waiting, "throw"));
  if (!method) return nullptr;
  PyObject* value = PyObject_Call(method.get(), arguments, nullptr);
  if (value == nullptr) {
    Py_CLEAR(self->waiting);
    self->over = true;
  }
  return value;
}

PyObject* awaitable_close(PyObject* object, PyObject* /*unused*/) {
  Awaitable* self = self_of(object);
  self->over = true;
  Py_CLEAR(self->waiting);
  Py_RETURN_NONE;
}

void awaitable_free(PyObject* object) {
  Awaitable* self = self_of(object);
  PyTypeObject* type = Py_TYPE(object);
  Py_CLEAR(self->waiting);
  Py_CLEAR(self->owner);
  PyObject_Free(object);
  Py_DECREF(type);
}

Ref make_awaitable_type() {
  static PyMethodDef methods[] = {
      {"send", &awaitable_send_method, METH_O, nullptr},
      {"throw", &awaitable_throw, METH_VARARGS, nullptr},
      {"close", &awaitable_close, METH_NOARGS, nullptr},
      {"__await__", &itself_as_method, METH_NOARGS, nullptr},
      {nullptr, nullptr, 0, nullptr},
  };
  static PyType_Slot slots[] = {
      {Py_am_await, reinterpret_cast<void*>(&itself)},
      {Py_am_send, reinterpret_cast<void*>(&awaitable_send)},
      {Py_tp_iter, reinterpret_cast<void*>(&itself)},
      {Py_tp_iternext, reinterpret_cast<void*>(&awaitable_next)},
      {Py_tp_dealloc, reinterpret_cast<void*>(&awaitable_free)},
      {Py_tp_methods, methods},
      {0, nullptr},
  };
  static PyType_Spec spec = {"corn.Awaitable", sizeof(Awaitable), 0, Py_TPFLAGS_DEFAULT, slots};
  return Ref::steal(PyType_FromSpec(&spec));
}

// Never freed: they live as long as the process may run Python code.
PyObject* the_ready = nullptr;
PyTypeObject* awaitable_type = nullptr;

}  // namespace

bool make_awaitable_types() {
  const Ref ready_type = make_ready_type();
  Ref type = make_awaitable_type();
  if (!ready_type || !type) return false;
  the_ready = PyType_GenericAlloc(reinterpret_cast<PyTypeObject*>(ready_type.get()), 0);
  awaitable_type = reinterpret_cast<PyTypeObject*>(type.release());
  return the_ready != nullptr;
}

PyObject* ready_none() { return Py_NewRef(the_ready); }

PyObject* new_awaitable(PyObject* owner, Source& source) {
  auto* self = PyObject_New(Awaitable, awaitable_type);
  if (self == nullptr) return nullptr;
  self->owner = Py_NewRef(owner);
  self->source = &source;
  self->waiting = nullptr;
  self->over = false;
  return reinterpret_cast<PyObject*>(self);
}

Ref iterator_of(PyObject* awaitable) {
  if (PyCoro_CheckExact(awaitable)) return Ref::borrow(awaitable);
  const PyAsyncMethods* methods = Py_TYPE(awaitable)->tp_as_async;
  if (methods == nullptr || methods->am_await == nullptr) {
    PyErr_Format(PyExc_TypeError, "an awaitable is wanted, not '%.100s'",
                 Py_TYPE(awaitable)->tp_name);
    return {};
  }
  return Ref::steal(methods->am_await(awaitable));
}

}  // namespace corn::asgi
