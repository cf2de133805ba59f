// SPDX-License-Identifier: Apache-2.0
// The stacks of all threads that Python knows, for a worker that hangs or is asked what it is
// doing.
#pragma once

#include <Python.h>

#include "base/clock.h"

namespace corn::python {

// Writes every thread's Python stack to `fd`, most recent call first. Takes no lock and allocates
// nothing, so that it works while a thread hangs with the interpreter's lock held. Threads that run
// Python code meanwhile may change the stacks under its eyes, which can crash: for last words. Any
// thread.
void dump_stacks(int fd);

// The same, with the interpreter's lock if that can be had within `wait`; without it only when a
// thread keeps it for longer, and then stands still. Any thread that does not hold the lock.
void dump_stacks_carefully(int fd, base::Duration wait);

// From when on, and until when, there are stacks to be shown; outside of that nothing is written.
void allow_stack_dumps(PyInterpreterState* interpreter);
void forbid_stack_dumps();

}  // namespace corn::python
