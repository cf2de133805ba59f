// SPDX-License-Identifier: Apache-2.0
#include "workerd/runtimes/gevent/gevent_loop.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>

#include "base/log.h"
#include "workerd/runtimes/python/exception.h"
#include "workerd/runtimes/python/gil.h"
#include "workerd/runtimes/python/stacks.h"
#include "workerd/runtimes/python/strand.h"

namespace corn::gevent {
namespace {

using python::Ref;

constexpr const char* kCapsuleName = "corn.GeventLoop";

// Python's, of the one loop that a process has; guarded by the interpreter's lock.
PyObject* current_greenlet = nullptr;
PyObject* write_stacks = nullptr;

std::uintptr_t greenlet_identity() {
  const Ref current = Ref::steal(PyObject_CallNoArgs(current_greenlet));
  if (!current) PyErr_Clear();
  return reinterpret_cast<std::uintptr_t>(current.get());
}

std::string greenlet_stacks() {
  const Ref text = Ref::steal(PyObject_CallNoArgs(write_stacks));
  if (!text) return "(no stacks of greenlets: " + python::take_exception().summary + ")";
  return python::to_text(text.get());
}

Ref function_of(PyMethodDef* definition, PyObject* self) {
  return Ref::steal(PyCFunction_New(definition, self));
}

}  // namespace

GeventLoop::~GeventLoop() {
  const python::GilHold hold;
  host_ = Ref();
}

void GeventLoop::run(app::EngineLoop& engine) {
  static PyMethodDef turn_definition = {"turn", &call_turn, METH_VARARGS, nullptr};
  static PyMethodDef task_definition = {"run", &call_task, METH_O, nullptr};
  engine_ = &engine;
  const python::GilHold hold;
  const Ref self = Ref::steal(PyCapsule_New(this, kCapsuleName, nullptr));
  const Ref turn = self ? function_of(&turn_definition, self.get()) : Ref();
  const Ref run = self ? function_of(&task_definition, self.get()) : Ref();
  if (turn && run) {
    host_ = Ref::steal(PyObject_CallFunctionObjArgs(host_type_, turn.get(), run.get(), nullptr));
  }
  if (host_) {
    current_greenlet = PyObject_GetAttrString(host_.get(), "getcurrent");
    write_stacks = PyObject_GetAttrString(host_.get(), "stacks");
  }
  if (current_greenlet == nullptr || write_stacks == nullptr) {
    base::log_critical("gevent's hub cannot be had: {}", python::take_exception().text);
    return;
  }
  python::set_strand_identity(&greenlet_identity);
  python::show_idle_stacks(static_cast<std::uint32_t>(::syscall(SYS_gettid)), &greenlet_stacks);
  const Ref descriptor = Ref::steal(PyLong_FromLong(engine.descriptor()));
  if (descriptor) tell("serve", descriptor.get());
}

bool GeventLoop::tell(const char* method, PyObject* argument) {
  const Ref name = python::to_str(method);
  if (name && Ref::steal(PyObject_CallMethodObjArgs(host_.get(), name.get(), argument, nullptr))) {
    return true;
  }
  base::log_error("gevent's hub does not work: {}", python::take_exception().text);
  return false;
}

PyObject* GeventLoop::call_turn(PyObject* self, PyObject* arguments) {
  auto* loop = static_cast<GeventLoop*>(PyCapsule_GetPointer(self, kCapsuleName));
  if (loop == nullptr) return nullptr;
  if (PyTuple_GET_SIZE(arguments) > 0) loop->timer_.reset();  // it is the timer that calls
  loop->turn();
  Py_RETURN_NONE;
}

PyObject* GeventLoop::call_task(PyObject* /*self*/, PyObject* task) {
  auto* to_run = static_cast<app::StrandTask*>(PyLong_AsVoidPtr(task));
  if (to_run == nullptr) return nullptr;
  {
    const python::GilYield yield;
    to_run->run();
  }
  Py_RETURN_NONE;
}

void GeventLoop::turn() {
  if (over_) return;
  std::optional<base::Duration> next;
  {
    const python::GilYield yield;
    next = engine_->turn();
  }
  for (app::StrandTask* task : std::exchange(starting_, {})) {
    const Ref number = Ref::steal(PyLong_FromVoidPtr(task));
    if (number && tell("spawn", number.get())) continue;
    const python::GilYield yield;
    task->run();
  }
  for (app::StrandTask* task : std::exchange(woken_, {})) {
    const Ref number = Ref::steal(PyLong_FromVoidPtr(task));
    if (number) tell("wake", number.get());
  }
  if (next) plan(*next);
  if (engine_->done()) {
    over_ = true;
    tell("end", nullptr);
  }
}

// A call that comes too early does no harm: a timer is only ever set anew for an earlier time.
void GeventLoop::plan(base::Duration delay) {
  const base::TimePoint at = std::chrono::steady_clock::now() + delay;
  if (timer_ && *timer_ <= at) return;
  timer_ = at;
  const Ref seconds = Ref::steal(PyFloat_FromDouble(std::chrono::duration<double>(delay).count()));
  if (seconds) tell("set_timer", seconds.get());
}

void GeventLoop::turn_within(base::Duration delay) {
  if (over_) return;
  if (timer_ && *timer_ <= std::chrono::steady_clock::now() + delay) return;
  const python::GilHold hold;
  plan(delay);
}

bool GeventLoop::pause(app::StrandTask& task) {
  const python::GilHold hold;
  const Ref number = Ref::steal(PyLong_FromVoidPtr(&task));
  const Ref name = python::to_str("pause");
  // What is raised stays so, for the runtime that asked the engine for what it now waits for.
  return number && name &&
         Ref::steal(PyObject_CallMethodObjArgs(host_.get(), name.get(), number.get(), nullptr));
}

}  // namespace corn::gevent
