// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <list>
#include <memory>
#include <string>

#include "base/worker_config.h"
#include "workerd/runtimes/asgi/scope.h"
#include "workerd/runtimes/python/object.h"
#include "workerd/runtimes/python/request_hooks.h"

namespace corn::asgi {

class Call;

// What all calls of the application have in common; theirs as much as the runtime's. With the
// interpreter's lock.
struct Context {
  explicit Context(const base::WorkerConfig& worker_config) : config(worker_config) {}
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  // Fills in what comes from `loop`; false with an exception set on failure.
  bool use(PyObject* event_loop);

  // A new asyncio future, and one that is waited for, done.
  [[nodiscard]] python::Ref new_future() const;

  // "200 OK". Null with an exception set for what is no status code.
  PyObject* status_line(long status);

  const base::WorkerConfig& config;
  python::Ref application;
  python::Ref loop;
  python::Ref create_future;  // bound methods of the loop
  python::Ref call_later;
  python::Ref task_type;       // asyncio.Task
  python::Ref task_arguments;  // ("loop",)
  python::Ref phrases;         // of http.HTTPStatus, by code
  std::unique_ptr<ScopeBuilder> scopes;
  std::unique_ptr<python::RequestHooks> hooks;  // null: neither hook around requests is set
  std::list<Call*> calls;                       // that live
  std::array<python::Ref, 1000> status_lines;

  struct Names {
    static python::Ref make(const char* name) {
      return python::Ref::steal(PyUnicode_InternFromString(name));
    }
    python::Ref type = make("type");
    python::Ref body = make("body");
    python::Ref more_body = make("more_body");
    python::Ref status = make("status");
    python::Ref headers = make("headers");
    python::Ref http_request = make("http.request");
    python::Ref http_disconnect = make("http.disconnect");
    python::Ref response_start = make("http.response.start");
    python::Ref response_body = make("http.response.body");
    python::Ref done = make("done");
    python::Ref set_result = make("set_result");
    python::Ref cancel = make("cancel");
    python::Ref throw_in = make("throw");
    python::Ref close = make("close");
  } names;
};

}  // namespace corn::asgi
