// SPDX-License-Identifier: Apache-2.0
// gunicorn.socket: the client's connection, for applications that speak something else than HTTP on
// it, WebSocket for one. It stands for a socket.socket, made when it is first used. Looking at it
// (addresses, options, fileno()) changes nothing; anything else takes the connection over: the
// engine sends and receives nothing more and closes it when the request ends, what the application
// returns is not sent, and the access log says 101.
#pragma once

#include "workerd/runtimes/python/object.h"
#include "workerd/runtimes/wsgi/exchange.h"

namespace corn::wsgi {

// Makes the type. With the lock held; null with an exception set on failure.
python::Ref make_socket_type();

// A new object of that type, not bound to a request yet.
python::Ref new_socket(PyObject* type);

// Binds it to a request, or with null ends it: what was made of it is closed.
void bind_socket(PyObject* socket, Exchange* exchange);

}  // namespace corn::wsgi
