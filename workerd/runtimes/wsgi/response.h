// SPDX-License-Identifier: Apache-2.0
// What a WSGI application returns, on its way to the client.
#pragma once

#include <Python.h>

#include "workerd/runtimes/wsgi/exchange.h"

namespace corn::wsgi {

// Sends what `result` yields. True: the response is whole, or as whole as it needs to be (HEAD,
// more than Content-Length); finish() is due. False: with an exception set the application failed,
// without one the client is gone. A file in a wrapper of `file_wrapper_type` is sent without
// passing through Python where that is possible; null: never.
bool send_result(Exchange& exchange, PyObject* result, PyObject* file_wrapper_type);

// Calls the result's close(), if it has one. False with an exception set when that raises.
bool close_result(PyObject* result);

}  // namespace corn::wsgi
