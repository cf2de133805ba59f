// SPDX-License-Identifier: Apache-2.0
// The application's dealings with one HTTP request (ASGI's HTTP protocol, 2.3).
#pragma once

#include <memory>
#include <utility>

#include "workerd/runtimes/asgi/call.h"
#include "workerd/runtimes/python/request_hooks.h"

namespace corn::asgi {

class HttpCall final : public Call {
 public:
  HttpCall(std::shared_ptr<Context> context, app::AsyncExchange& exchange)
      : Call(std::move(context), exchange) {}

  PyObject* send(PyObject* message) override;

 private:
  python::Ref make_scope() override;
  PyObject* next_message() override;
  void changed() override;
  void ended(bool raised) override;
  void settled() override;

  [[nodiscard]] bool has_message() const;
  PyObject* request_message();
  PyObject* disconnect_message();
  PyObject* start_response(PyObject* message);
  PyObject* send_body(PyObject* message);
  void note_start(PyObject* message);

  bool body_given_ = false;  // to its end
  bool started_ = false;
  bool complete_ = false;  // the answer

  // Where hooks around requests are set.
  python::Ref hooked_;  // what they see of the request; null before and after
  python::Answer answer_;
};

}  // namespace corn::asgi
