// SPDX-License-Identifier: Apache-2.0
// The interpreter's lock (GIL), held and given up by scopes. Every thread that runs Python code has
// a thread state, made at its first GilHold or by attach_thread() and freed by detach_thread(); the
// thread that started the interpreter has one from the start.
#pragma once

#include <Python.h>

namespace corn::python {

// The calling thread's state; made if there is none yet. Without the lock.
PyThreadState* attach_thread();

// Frees the calling thread's state, without the lock. Not for the thread that started the
// interpreter.
void detach_thread();

// Remembers `state` as the calling thread's: for the thread that started the interpreter.
void adopt_thread_state(PyThreadState* state);

// Holds the lock. Not to be nested.
class GilHold {
 public:
  GilHold() { PyEval_RestoreThread(attach_thread()); }
  ~GilHold() { PyEval_SaveThread(); }
  GilHold(const GilHold&) = delete;
  GilHold& operator=(const GilHold&) = delete;
};

// Gives the lock up around something that may wait, when `condition` holds.
class GilYield {
 public:
  explicit GilYield(bool condition = true) : state_(condition ? PyEval_SaveThread() : nullptr) {}
  ~GilYield() {
    if (state_ != nullptr) PyEval_RestoreThread(state_);
  }
  GilYield(const GilYield&) = delete;
  GilYield& operator=(const GilYield&) = delete;

 private:
  PyThreadState* state_;
};

}  // namespace corn::python
