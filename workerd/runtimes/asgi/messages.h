// SPDX-License-Identifier: Apache-2.0
// What messages of an application say, put into the engine's terms. All functions give false with
// an exception set on failure.
#pragma once

#include <vector>

#include "workerd/app/application.h"
#include "workerd/http/field.h"
#include "workerd/runtimes/asgi/context.h"
#include "workerd/runtimes/python/object.h"

namespace corn::asgi {

// `headers`, a sequence of pairs of bytes, as fields that point into it; `kept` keeps it alive.
bool read_headers(PyObject* headers, std::vector<http::Field>& fields,
                  std::vector<python::Ref>& kept);

// "http.response.start" and its like: status and headers.
bool start_answer(Context& context, app::Responder& responder, PyObject* message);

// "http.response.body" and its like. `last` is told by more_body. That the client has gone is no
// failure.
bool write_answer(const Context& context, app::Responder& responder, PyObject* message, bool& last);

}  // namespace corn::asgi
