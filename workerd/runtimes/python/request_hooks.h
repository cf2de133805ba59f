// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

#include "workerd/app/application.h"
#include "workerd/runtimes/python/hooks.h"
#include "workerd/runtimes/python/object.h"

namespace corn::python {

// What was answered, as the hooks are told.
struct Answer {
  Ref status;              // str; null: nothing was begun
  Ref headers;             // a sequence of pairs, of str or of bytes
  std::uint64_t sent = 0;  // bytes of the body
};

// The hooks pre_request and post_request, around each request. With the interpreter's lock.
class RequestHooks {
 public:
  // Null when neither is set: requests are then spared all of this.
  static std::unique_ptr<RequestHooks> find();

  // What the hooks see of a request; null with an exception set. `body` is wsgi.input, or None.
  Ref describe(const http::RequestHead& head, const app::ConnectionInfo& connection,
               std::string_view scheme, PyObject* body);
  // Calls pre_request. False with an exception set: the hook's own.
  bool begin(PyObject* request) { return hooks_.pre_request(request); }
  // Puts into the environ, or ASGI's scope, what pre_request has changed. False with an exception
  // set.
  static bool amend(PyObject* request, PyObject* environ);
  static bool amend_scope(PyObject* request, PyObject* scope);
  // An environ made of what the hooks see; null with an exception set.
  static Ref environ_of(PyObject* request);
  // Calls post_request, once the answer has gone out. `environ` is null where there is none.
  void end(PyObject* request, PyObject* environ, const Answer& answer);

 private:
  RequestHooks(Hooks& hooks, Ref request_type, Ref response_type)
      : hooks_(hooks),
        request_type_(std::move(request_type)),
        response_type_(std::move(response_type)) {}

  Hooks& hooks_;
  const Ref request_type_;   // of hook_objects.py
  const Ref response_type_;  // likewise
};

}  // namespace corn::python
