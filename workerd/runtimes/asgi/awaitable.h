// SPDX-License-Identifier: Apache-2.0
// What `await receive()` and `await send(message)` await: coroutines written in C++, which, as a
// rule, have their result at once and never suspend. Only what has to wait makes an asyncio future.
// With the interpreter's lock.
#pragma once

#include "workerd/runtimes/python/object.h"

namespace corn::asgi {

// What an awaitable waits for.
class Source {
 public:
  virtual ~Source() = default;
  // The result, a new reference. Null without an exception: not yet. Null with one: it failed.
  virtual PyObject* poll() = 0;
  // A new asyncio future, which is to be done when poll() should be tried again. Null with an
  // exception set on failure.
  virtual python::Ref wait() = 0;
};

// Types made once; false with an exception set on failure.
bool make_awaitable_types();

// An awaitable of None that never suspends: one object for all. A new reference.
PyObject* ready_none();

// An awaitable of what `source` gives. `owner` keeps the source alive. Null with an exception set
// on failure.
PyObject* new_awaitable(PyObject* owner, Source& source);

// Sends `argument` into the iterator that a coroutine or awaitable consists of, or its asynchronous
// iterator: what `await` would get of `awaitable`. Null with an exception set when it isn't one.
python::Ref iterator_of(PyObject* awaitable);

}  // namespace corn::asgi
