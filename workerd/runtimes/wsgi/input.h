// SPDX-License-Identifier: Apache-2.0
// wsgi.input: the request's body as a binary stream with read, readline, readlines and iteration.
// read(n) waits until it has n bytes or the body has ended, as a file does. A body that breaks
// raises OSError from then on, and never looks like one that has ended.
#pragma once

#include "workerd/runtimes/python/object.h"
#include "workerd/runtimes/wsgi/exchange.h"

namespace corn::wsgi {

// Makes the type. With the lock held; null with an exception set on failure.
python::Ref make_input_type();

// A new stream of that type, not bound to a request yet.
python::Ref new_input(PyObject* type);

// Binds the stream to a request, or with null ends it: reading then raises ValueError.
void bind_input(PyObject* input, Exchange* exchange);

}  // namespace corn::wsgi
