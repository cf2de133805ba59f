// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "workerd/runtimes/python/hooks.h"
#include "workerd/runtimes/python/object.h"
#include "workerd/runtimes/wsgi/exchange.h"

namespace corn::wsgi {

// The hooks pre_request and post_request, around each request. With the interpreter's lock.
class RequestHooks {
 public:
  // Null when neither is set: requests are then spared all of this.
  static std::unique_ptr<RequestHooks> find();

  // Calls pre_request; gives the request object, or null with an exception set. `body` is
  // wsgi.input.
  python::Ref begin(const app::Request& request, PyObject* body);
  // Calls post_request, once the answer has gone out. `environ` may be null.
  void end(PyObject* request, PyObject* environ, const Answer& answer);

 private:
  explicit RequestHooks(python::Hooks& hooks) : hooks_(hooks) {}

  python::Hooks& hooks_;
};

}  // namespace corn::wsgi
