// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <utility>

#include "workerd/runtimes/python/hooks.h"
#include "workerd/runtimes/python/object.h"
#include "workerd/runtimes/wsgi/exchange.h"

namespace corn::wsgi {

// The hooks pre_request and post_request, around each request. With the interpreter's lock.
class RequestHooks {
 public:
  // Null when neither is set: requests are then spared all of this.
  static std::unique_ptr<RequestHooks> find();

  // What the hooks see of a request; null with an exception set. `body` is wsgi.input.
  python::Ref describe(const app::Request& request, PyObject* body);
  // Calls pre_request. False with an exception set: the hook's own.
  bool begin(PyObject* request) { return hooks_.pre_request(request); }
  // Puts into the environ what pre_request has changed. False with an exception set.
  static bool amend(PyObject* request, PyObject* environ);
  // Calls post_request, once the answer has gone out. `environ` is null where it was not reached.
  void end(PyObject* request, PyObject* environ, const Answer& answer);

 private:
  RequestHooks(python::Hooks& hooks, python::Ref request_type, python::Ref response_type)
      : hooks_(hooks),
        request_type_(std::move(request_type)),
        response_type_(std::move(response_type)) {}

  python::Hooks& hooks_;
  const python::Ref request_type_;   // of hook_objects.py
  const python::Ref response_type_;  // likewise
};

}  // namespace corn::wsgi
