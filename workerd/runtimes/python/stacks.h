// SPDX-License-Identifier: Apache-2.0
// The stacks of all threads that Python knows, for a worker that hangs or is asked what it is
// doing.
#pragma once

#include <Python.h>

#include <cstdint>
#include <string>

#include "base/clock.h"
#include "base/message.h"

namespace corn::python {

// Writes every thread's Python stack to `fd`, most recent call first. Takes no lock and allocates
// nothing, so that it works while a thread hangs with the interpreter's lock held. Threads that run
// Python code meanwhile may change the stacks under its eyes, which can crash: for last words. Any
// thread.
void dump_stacks(int fd);

// The same, with the interpreter's lock if that can be had within `wait`; without it only when a
// thread keeps it for longer, and then stands still. Any thread that does not hold the lock.
void dump_stacks_carefully(int fd, base::Duration wait);

// The stacks of a worker that is to live on, each with its thread's kernel id, fit for one message.
// They are read with the interpreter's lock. If a single thread has kept that for `still`, it is in
// C code that neither returns nor gives the lock up, nothing else can run Python code, and they are
// read without. If neither comes true within `limit`, or Python isn't up, the result's text says so
// instead. Any thread that does not hold the lock, one at a time.
base::DumpResult collect_stacks(base::Duration still, base::Duration limit);

// Whose stacks are shown below that of thread `thread_id` (of the kernel): of what could run there
// and doesn't now. `write` gives them as text; on any thread, with the lock held; it leaves no
// exception. Once, with the lock held.
void show_idle_stacks(std::uint32_t thread_id, std::string (*write)());

// From when on, and until when, there are stacks to be shown; outside of that nothing is written.
void allow_stack_dumps(PyInterpreterState* interpreter);
void forbid_stack_dumps();

}  // namespace corn::python
