// SPDX-License-Identifier: Apache-2.0
#include "workerd/runtimes/python/gil.h"

#include <optional>
#include <utility>

#include "workerd/runtimes/python/native_trace.h"

namespace corn::python {
namespace {

thread_local PyThreadState* thread_state = nullptr;

// C code that recurses without end must not take the last words with it.
void make_crash_stack() {
  thread_local std::optional<CrashStack> crash_stack;
  if (!crash_stack) crash_stack.emplace();
}

}  // namespace

PyThreadState* attach_thread() {
  if (thread_state == nullptr) [[unlikely]] {
    // The count of PyGILState_Ensure stays at one until detach_thread(), so that extension modules
    // which use this interface on the thread find the same state and don't free it.
    make_crash_stack();
    PyGILState_Ensure();
    thread_state = PyEval_SaveThread();
  }
  return thread_state;
}

void detach_thread() {
  PyThreadState* state = std::exchange(thread_state, nullptr);
  if (state == nullptr) return;
  PyEval_RestoreThread(state);
  PyGILState_Release(PyGILState_UNLOCKED);
}

void adopt_thread_state(PyThreadState* state) {
  if (state != nullptr) make_crash_stack();
  thread_state = state;
}

}  // namespace corn::python
