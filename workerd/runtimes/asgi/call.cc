// SPDX-License-Identifier: Apache-2.0
#include "workerd/runtimes/asgi/call.h"

#include <fmt/core.h>
#include <structmember.h>

#include <cstddef>
#include <memory>
#include <tuple>
#include <utility>

#include "base/log.h"
#include "workerd/runtimes/python/exception.h"

namespace corn::asgi {
namespace {

using python::Ref;

struct CallObject {
  PyObject object;
  Call* call;
};

// receive or send.
struct EndObject {
  PyObject object;
  vectorcallfunc vectorcall;
  PyObject* owner;  // the call's
};

// Never freed: they live as long as the process may run Python code.
PyTypeObject* call_type = nullptr;
PyTypeObject* end_type = nullptr;

Call& call_of(PyObject* object) { return *reinterpret_cast<CallObject*>(object)->call; }

// ---- the coroutine that the task runs ----

PySendResult call_send(PyObject* object, PyObject* argument, PyObject** result) {
  return call_of(object).resume(argument, result);
}

PyObject* call_send_method(PyObject* object, PyObject* argument) {
  PyObject* result = nullptr;
  if (call_of(object).resume(argument, &result) != PYGEN_RETURN) return result;
  Py_DECREF(result);
  PyErr_SetNone(PyExc_StopIteration);
  return nullptr;
}

PyObject* call_next(PyObject* object) { return call_send_method(object, Py_None); }

PyObject* call_throw(PyObject* object, PyObject* arguments) {
  return call_of(object).throw_in(arguments);
}

PyObject* call_close(PyObject* object, PyObject* /*unused*/) {
  call_of(object).close();
  Py_RETURN_NONE;
}

PyObject* itself(PyObject* self) { return Py_NewRef(self); }

PyObject* itself_as_method(PyObject* self, PyObject* /*unused*/) { return Py_NewRef(self); }

void call_free(PyObject* object) {
  PyTypeObject* type = Py_TYPE(object);
  std::unique_ptr<Call>(reinterpret_cast<CallObject*>(object)->call).reset();
  PyObject_Free(object);
  Py_DECREF(type);
}

Ref make_call_type() {
  static PyMethodDef methods[] = {
      {"send", &call_send_method, METH_O, nullptr},
      {"throw", &call_throw, METH_VARARGS, nullptr},
      {"close", &call_close, METH_NOARGS, nullptr},
      {"__await__", &itself_as_method, METH_NOARGS, nullptr},
      {nullptr, nullptr, 0, nullptr},
  };
  static PyType_Slot slots[] = {
      {Py_am_await, reinterpret_cast<void*>(&itself)},
      {Py_am_send, reinterpret_cast<void*>(&call_send)},
      {Py_tp_iter, reinterpret_cast<void*>(&itself)},
      {Py_tp_iternext, reinterpret_cast<void*>(&call_next)},
      {Py_tp_dealloc, reinterpret_cast<void*>(&call_free)},
      {Py_tp_methods, methods},
      {0, nullptr},
  };
  static PyType_Spec spec = {"corn.Call", sizeof(CallObject), 0, Py_TPFLAGS_DEFAULT, slots};
  return Ref::steal(PyType_FromSpec(&spec));
}

// ---- receive and send ----

bool takes(std::size_t wanted, std::size_t given, PyObject* keywords, const char* name) {
  if (PyVectorcall_NARGS(given) == static_cast<Py_ssize_t>(wanted) && keywords == nullptr) {
    return true;
  }
  PyErr_Format(PyExc_TypeError, "%s takes %zu argument(s), which has no name", name, wanted);
  return false;
}

PyObject* do_receive(PyObject* self, PyObject* const* /*arguments*/, std::size_t count,
                     PyObject* keywords) {
  if (!takes(0, count, keywords, "receive")) return nullptr;
  return call_of(reinterpret_cast<EndObject*>(self)->owner).receive();
}

PyObject* do_send(PyObject* self, PyObject* const* arguments, std::size_t count,
                  PyObject* keywords) {
  if (!takes(1, count, keywords, "send")) return nullptr;
  if (!PyDict_Check(arguments[0])) {
    PyErr_Format(PyExc_TypeError, "a message is a dict, not '%.100s'",
                 Py_TYPE(arguments[0])->tp_name);
    return nullptr;
  }
  return call_of(reinterpret_cast<EndObject*>(self)->owner).send(arguments[0]);
}

void end_free(PyObject* object) {
  PyTypeObject* type = Py_TYPE(object);
  Py_CLEAR(reinterpret_cast<EndObject*>(object)->owner);
  PyObject_Free(object);
  Py_DECREF(type);
}

Ref make_end_type() {
  static PyMemberDef members[] = {
      {"__vectorcalloffset__", T_PYSSIZET, offsetof(EndObject, vectorcall), READONLY, nullptr},
      {nullptr, 0, 0, 0, nullptr},
  };
  static PyType_Slot slots[] = {
      {Py_tp_call, reinterpret_cast<void*>(&PyVectorcall_Call)},
      {Py_tp_dealloc, reinterpret_cast<void*>(&end_free)},
      {Py_tp_members, members},
      {0, nullptr},
  };
  static PyType_Spec spec = {"corn.Channel", sizeof(EndObject), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL, slots};
  return Ref::steal(PyType_FromSpec(&spec));
}

Ref new_end(PyObject* owner, vectorcallfunc function) {
  auto* self = PyObject_New(EndObject, end_type);
  if (self == nullptr) return {};
  self->vectorcall = function;
  self->owner = Py_NewRef(owner);
  return Ref::steal(reinterpret_cast<PyObject*>(self));
}

}  // namespace

Ref Waiters::add(const Context& context) {
  Ref future = context.new_future();
  if (future) futures_.push_back(Ref::borrow(future.get()));
  return future;
}

void Waiters::wake(const Context& context) {
  for (const Ref& future : futures_) {
    const Ref done = Ref::steal(PyObject_CallMethodNoArgs(future.get(), context.names.done.get()));
    if (done && done.get() == Py_False) {
      std::ignore = Ref::steal(
          PyObject_CallMethodOneArg(future.get(), context.names.set_result.get(), Py_None));
    }
    PyErr_Clear();  // of a loop that is closed
  }
  futures_.clear();
}

bool Call::make_types() {
  Ref call = make_call_type();
  Ref end = make_end_type();
  if (!call || !end) return false;
  call_type = reinterpret_cast<PyTypeObject*>(call.release());
  end_type = reinterpret_cast<PyTypeObject*>(end.release());
  return true;
}

Call::Call(std::shared_ptr<Context> context, app::AsyncExchange& exchange)
    : context_(std::move(context)),
      exchange_(&exchange),
      what_(fmt::format("{} {}", exchange.head().method, base::printable(exchange.head().target))),
      place_(context_->calls.insert(context_->calls.end(), this)) {
  exchange.set_handler(*this);
}

Call::~Call() {
  context_->calls.erase(place_);
  cancel_timer();
  leave();
}

void Call::start(std::unique_ptr<Call> owned) {
  auto* object = PyObject_New(CallObject, call_type);
  if (object == nullptr) {
    owned->log_failure("Error handling request");
    return;
  }
  Call* call = owned.release();
  object->call = call;
  const Ref self = Ref::steal(reinterpret_cast<PyObject*>(object));
  call->self_ = self.get();
  PyObject* arguments[] = {nullptr, self.get(), call->context_->loop.get()};
  call->task_ = Ref::steal(PyObject_Vectorcall(call->context_->task_type.get(), arguments + 1,
                                               1 | PY_VECTORCALL_ARGUMENTS_OFFSET,
                                               call->context_->task_arguments.get()));
  if (!call->task_) call->log_failure("Error handling request");
}

bool Call::call_application() {
  const Ref scope = make_scope();
  const Ref receive = new_end(self_, &do_receive);
  const Ref send = new_end(self_, &do_send);
  if (!scope || !receive || !send) return false;
  PyObject* arguments[] = {nullptr, scope.get(), receive.get(), send.get()};
  const Ref made = Ref::steal(PyObject_Vectorcall(context_->application.get(), arguments + 1,
                                                  3 | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr));
  if (made) coroutine_ = iterator_of(made.get());
  return static_cast<bool>(coroutine_);
}

PySendResult Call::resume(PyObject* argument, PyObject** result) {
  *result = nullptr;
  if (!begun_) {
    begun_ = true;
    if (exchange_ != nullptr && !call_application()) {
      settle(true);
      *result = Py_NewRef(Py_None);
      return PYGEN_RETURN;
    }
  }
  if (!coroutine_) {
    settle(false);
    *result = Py_NewRef(Py_None);
    return PYGEN_RETURN;
  }
  const PySendResult sent = PyIter_Send(coroutine_.get(), argument, result);
  if (sent == PYGEN_NEXT) return sent;
  Py_CLEAR(*result);
  settle(sent == PYGEN_ERROR);
  *result = Py_NewRef(Py_None);
  return PYGEN_RETURN;
}

// As a rule of CancelledError. The application may catch it and go on.
PyObject* Call::throw_in(PyObject* arguments) {
  begun_ = true;
  PyObject* yielded = nullptr;
  if (coroutine_) {
    const Ref method =
        Ref::steal(PyObject_GetAttr(coroutine_.get(), context_->names.throw_in.get()));
    if (method) yielded = PyObject_Call(method.get(), arguments, nullptr);
    if (yielded != nullptr) return yielded;
    const bool returned = PyErr_ExceptionMatches(PyExc_StopIteration) != 0;
    if (returned) PyErr_Clear();
    settle(!returned);
  } else {
    settle(false);
  }
  PyErr_SetNone(PyExc_StopIteration);
  return nullptr;
}

void Call::close() {
  begun_ = true;
  if (coroutine_) {
    const Ref closed =
        Ref::steal(PyObject_CallMethodNoArgs(coroutine_.get(), context_->names.close.get()));
    if (!closed) log_failure("Error ending request");
  }
  settle(false);
}

// The application is through.
void Call::settle(bool raised) {
  if (over_) return;
  over_ = true;
  if (exchange_ != nullptr) {
    ended(raised);
  } else if (raised && !raised_for_want_of_client()) {
    log_failure("Error after the answer to");
  }
  PyErr_Clear();
  leave();
  settled();
  coroutine_ = Ref();
  task_ = Ref();
}

void Call::leave() {
  cancel_timer();
  if (app::AsyncExchange* exchange = std::exchange(exchange_, nullptr)) exchange->leave();
  receivers_.wake(*context_);
  senders_.wake(*context_);
}

void Call::on_abandoned() {
  exchange_ = nullptr;
  client_gone_ = true;
}

void Call::on_change() {
  if (exchange_ == nullptr) return;
  if (!client_gone_ && exchange_->client_ended()) note_client_gone();
  if (senders_.any() && (client_gone_ || !exchange_->congested())) senders_.wake(*context_);
  changed();
}

// The application is told by receive(). If that doesn't bring it to an end, its task is cancelled.
void Call::note_client_gone() {
  client_gone_ = true;
  receivers_.wake(*context_);
  begin_grace();
}

void Call::begin_grace() {
  if (!task_ || grace_timer_) return;
  const auto grace = context_->config.asgi_disconnect_grace;
  if (grace.count() == 0 || (exchange_ != nullptr && exchange_->given_up())) {
    std::ignore = Ref::steal(PyObject_CallMethodNoArgs(task_.get(), context_->names.cancel.get()));
  } else {
    const Ref cancel = Ref::steal(PyObject_GetAttr(task_.get(), context_->names.cancel.get()));
    const std::chrono::duration<double> seconds = grace;
    if (cancel) {
      grace_timer_ = Ref::steal(
          PyObject_CallFunction(context_->call_later.get(), "dO", seconds.count(), cancel.get()));
    }
  }
  if (PyErr_Occurred() != nullptr) log_failure("Error ending request");
}

void Call::cancel_timer() {
  if (!grace_timer_) return;
  std::ignore =
      Ref::steal(PyObject_CallMethodNoArgs(grace_timer_.get(), context_->names.cancel.get()));
  PyErr_Clear();
  grace_timer_ = Ref();
}

PyObject* Call::SendSource::poll() {
  const app::AsyncExchange* exchange = call_.exchange_;
  const bool room = exchange == nullptr || call_.client_gone_ || !exchange->congested();
  return room ? Py_NewRef(Py_None) : nullptr;
}

bool Call::raised_for_want_of_client() const {
  if (!client_gone_) return false;
  if (PyErr_ExceptionMatches(PyExc_OSError) != 0) return true;
  // CancelledError, by the grace period.
  PyObject* type = PyErr_Occurred();
  return type != nullptr && PyType_Check(type) &&
         std::string_view(reinterpret_cast<PyTypeObject*>(type)->tp_name) == "CancelledError";
}

void Call::log_failure(std::string_view what) const {
  const std::string text = python::take_exception().text;
  base::log_error("{} {}\n{}", what, what_, text);
}

}  // namespace corn::asgi
