// SPDX-License-Identifier: Apache-2.0
// The application's dealings with one HTTP request (ASGI's HTTP protocol, 2.3).
#pragma once

#include <vector>

#include "workerd/http/field.h"
#include "workerd/runtimes/asgi/call.h"

namespace corn::asgi {

// `headers`, a sequence of pairs of bytes, as fields that point into it; `kept` keeps it alive.
// False with an exception set on failure.
bool read_headers(PyObject* headers, std::vector<http::Field>& fields,
                  std::vector<python::Ref>& kept);

class HttpCall final : public Call {
 public:
  HttpCall(Context& context, app::AsyncExchange& exchange) : Call(context, exchange) {}

  PyObject* send(PyObject* message) override;

 private:
  PyObject* next_message() override;
  void changed() override;
  void ended(bool raised) override;

  [[nodiscard]] bool has_message() const;
  PyObject* request_message();
  PyObject* disconnect_message();
  PyObject* start_response(PyObject* message);
  PyObject* send_body(PyObject* message);
  PyObject* write(std::string_view bytes, bool last);

  bool body_given_ = false;  // to its end
  bool started_ = false;
  bool complete_ = false;  // the answer
};

}  // namespace corn::asgi
