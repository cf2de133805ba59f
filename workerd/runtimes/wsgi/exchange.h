// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Python.h>

#include <cstdint>

#include "workerd/app/application.h"
#include "workerd/runtimes/python/request_hooks.h"
#include "workerd/runtimes/python/strand.h"

namespace corn::wsgi {

// One request on its way through the application: what the Python objects given to the application
// stand for. The objects forget it when handle() returns, so that an application which keeps them
// gets an exception, not a dangling pointer. Not on the stack, which is another's while a greenlet
// waits.
struct Exchange {
  app::Request& request;
  app::Responder& responder;
  PyObject* write = nullptr;         // what start_response() returns; borrowed
  python::Answer* answer = nullptr;  // null: nobody wants it
  std::uintptr_t strand = python::current_strand();
  bool started = false;      // start_response() was called
  bool body_broken = false;  // reading the request's body failed
  bool client_gone = false;  // sending the response failed; nothing more can be sent
  bool surplus_reported = false;
  bool handed_over = false;  // the application has the connection's socket

  // The engine's objects belong to the thread of handle() (see application.h), or its greenlet.
  [[nodiscard]] bool on_own_thread() const { return strand == python::current_strand(); }
};

}  // namespace corn::wsgi
