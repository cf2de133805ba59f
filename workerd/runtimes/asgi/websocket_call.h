// SPDX-License-Identifier: Apache-2.0
// The application's dealings with one WebSocket (ASGI's WebSocket protocol, 2.3), with the denial
// response extension.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <utility>

#include "workerd/app/web_socket.h"
#include "workerd/runtimes/asgi/call.h"

namespace corn::asgi {

class WebSocketCall final : public Call {
 public:
  WebSocketCall(std::shared_ptr<Context> context, app::AsyncExchange& exchange)
      : Call(std::move(context), exchange) {}

  PyObject* send(PyObject* message) override;

 private:
  enum class State : std::uint8_t {
    kConnecting,  // neither accepted nor denied
    kDenying,     // with an HTTP answer of the application's
    kOpen,
    kEnded,
  };

  python::Ref make_scope() override;
  PyObject* next_message() override;
  void changed() override;
  void ended(bool raised) override;

  [[nodiscard]] bool has_message() const;
  PyObject* received(const app::WebSocketMessage& message);
  PyObject* disconnect_message();
  PyObject* accept(PyObject* message);
  PyObject* close(PyObject* message);
  PyObject* send_message(PyObject* message);
  PyObject* start_denial(PyObject* message);
  PyObject* send_denial(PyObject* message);
  // Takes what is left out of the engine, which is then done with the connection.
  void finish();

  State state_ = State::kConnecting;
  bool told_of_connect_ = false;
  bool closed_here_ = false;  // by the application
  app::WebSocket* socket_ = nullptr;
  std::deque<app::WebSocketMessage> left_;  // that came before the end
  app::WebSocketEnd end_{1006, {}};         // kEnded
};

}  // namespace corn::asgi
