// SPDX-License-Identifier: Apache-2.0
// The callables an application answers through (PEP 3333): start_response(status, headers,
// exc_info=None), and the write(data) that it returns; and wsgi.early_hints(headers), which
// gunicorn has beside them.
#pragma once

#include <string_view>

#include "workerd/runtimes/python/object.h"
#include "workerd/runtimes/wsgi/exchange.h"

namespace corn::wsgi {

// Make the types. With the lock held; null with an exception set on failure.
python::Ref make_start_response_type();
python::Ref make_write_type();
python::Ref make_early_hints_type();

// New objects of these types, not bound to a request yet.
python::Ref new_start_response(PyObject* type);
python::Ref new_write(PyObject* type);
python::Ref new_early_hints(PyObject* type);

// Binds it to a request, or with null ends it: calling it then raises RuntimeError.
void bind_callable(PyObject* callable, Exchange* exchange);

// Sends body bytes. Gives the interpreter's lock up where that may wait. False: nothing more can be
// sent, without an exception set; why is in the exchange and, where the application is to blame, in
// the log.
bool send(Exchange& exchange, std::string_view bytes, bool last);

}  // namespace corn::wsgi
