// SPDX-License-Identifier: Apache-2.0
#include "workerd/runtimes/asgi/websocket_call.h"

#include <string>
#include <utility>
#include <vector>

#include "workerd/http/websocket.h"
#include "workerd/runtimes/asgi/messages.h"

namespace corn::asgi {

using python::Ref;

namespace {

constexpr std::uint16_t kForbidden = 403;

PyObject* wrong_state(PyObject* type, const char* why) {
  PyErr_Format(PyExc_RuntimeError, "%R was sent %s", type, why);
  return nullptr;
}

}  // namespace

Ref WebSocketCall::make_scope() { return context_->scopes->build_websocket(*exchange()); }

// ---- receive ----

bool WebSocketCall::has_message() const {
  if (!told_of_connect_ || !left_.empty() || state_ == State::kEnded) return true;
  return client_gone();
}

PyObject* WebSocketCall::next_message() {
  if (!told_of_connect_) {
    told_of_connect_ = true;
    return Py_BuildValue("{s:s}", "type", "websocket.connect");
  }
  if (!left_.empty()) {
    const app::WebSocketMessage message = std::move(left_.front());
    left_.pop_front();
    return received(message);
  }
  if (state_ == State::kOpen) {
    if (const auto message = socket_->take_message()) return received(*message);
  }
  return has_message() ? disconnect_message() : nullptr;
}

PyObject* WebSocketCall::received(const app::WebSocketMessage& message) {
  const auto size = static_cast<Py_ssize_t>(message.payload.size());
  return Py_BuildValue(message.text ? "{s:s,s:s#}" : "{s:s,s:y#}", "type", "websocket.receive",
                       message.text ? "text" : "bytes", message.payload.data(), size);
}

PyObject* WebSocketCall::disconnect_message() {
  return Py_BuildValue("{s:s,s:i,s:s#}", "type", "websocket.disconnect", "code", int{end_.code},
                       "reason", end_.reason.data(), static_cast<Py_ssize_t>(end_.reason.size()));
}

void WebSocketCall::changed() {
  if (state_ == State::kOpen && socket_->end()) {
    finish();
    begin_grace();
    return;
  }
  if (!receivers().any()) return;
  // A message may have come; which of those who wait gets it they see for themselves.
  receivers().wake(*context_);
}

void WebSocketCall::finish() {
  end_ = *socket_->end();
  while (auto message = socket_->take_message()) left_.push_back(*std::move(message));
  socket_ = nullptr;
  state_ = State::kEnded;
  leave();
}

// ---- send ----

PyObject* WebSocketCall::send(PyObject* message) {
  PyObject* type = PyDict_GetItemWithError(message, context_->names.type.get());
  if (type == nullptr || !PyUnicode_Check(type)) {
    if (PyErr_Occurred() == nullptr) PyErr_SetString(PyExc_ValueError, "a message has a 'type'");
    return nullptr;
  }
  if (exchange() == nullptr) {
    if (closed_here_) return wrong_state(type, "when the application had closed the WebSocket");
    return ready_none();  // the client has gone
  }
  const std::string name = python::to_text(type);
  if (name == "websocket.send") {
    return state_ == State::kOpen ? send_message(message)
                                  : wrong_state(type, "before 'websocket.accept'");
  }
  if (name == "websocket.close") return close(message);
  if (name == "websocket.accept") {
    return state_ == State::kConnecting ? accept(message)
                                        : wrong_state(type, "when the handshake was over");
  }
  if (name == "websocket.http.response.start") {
    return state_ == State::kConnecting ? start_denial(message)
                                        : wrong_state(type, "when the handshake was over");
  }
  if (name == "websocket.http.response.body") {
    return state_ == State::kDenying ? send_denial(message)
                                     : wrong_state(type, "without 'websocket.http.response.start'");
  }
  PyErr_Format(PyExc_RuntimeError, "%R is no message of the WebSocket protocol", type);
  return nullptr;
}

PyObject* WebSocketCall::accept(PyObject* message) {
  PyObject* subprotocol = PyDict_GetItemString(message, "subprotocol");
  PyObject* headers = PyDict_GetItemWithError(message, context_->names.headers.get());
  if (PyErr_Occurred() != nullptr) return nullptr;
  std::vector<http::Field> fields;
  std::vector<Ref> kept;
  if (headers != nullptr && headers != Py_None && !read_headers(headers, fields, kept)) {
    return nullptr;
  }
  const bool has_subprotocol = subprotocol != nullptr && subprotocol != Py_None;
  const auto accepted = exchange()->accept_websocket(
      has_subprotocol ? python::to_text(subprotocol) : std::string(), fields);
  if (!accepted) {
    PyErr_SetString(PyExc_ValueError, accepted.error().message.c_str());
    return nullptr;
  }
  socket_ = *accepted;
  state_ = State::kOpen;
  changed();
  return ready_none();
}

PyObject* WebSocketCall::close(PyObject* message) {
  if (state_ == State::kDenying) {
    PyErr_SetString(PyExc_RuntimeError, "'websocket.close' was sent within a denial response");
    return nullptr;
  }
  closed_here_ = true;
  if (state_ == State::kConnecting) {
    std::ignore = exchange()->responder().start(view_of(context_->status_line(kForbidden)), {});
    std::ignore = exchange()->responder().write({}, true);
    state_ = State::kEnded;
    leave();
    return ready_none();
  }
  PyObject* code = PyDict_GetItemString(message, "code");
  PyObject* reason = PyDict_GetItemString(message, "reason");
  long number = http::websocket_code::kNormal;
  if (code != nullptr && code != Py_None) number = PyLong_AsLong(code);
  if (number == -1 && PyErr_Occurred() != nullptr) return nullptr;
  const std::uint16_t sent =
      number >= 0 && number <= 0xffff ? static_cast<std::uint16_t>(number) : 0;
  if (const auto closed = socket_->close(sent, python::to_text(reason)); !closed) {
    PyErr_SetString(PyExc_ValueError, closed.error().message.c_str());
    return nullptr;
  }
  finish();
  return ready_none();
}

PyObject* WebSocketCall::send_message(PyObject* message) {
  PyObject* text = PyDict_GetItemString(message, "text");
  PyObject* bytes = PyDict_GetItemString(message, "bytes");
  if (text != nullptr && text != Py_None) {
    Py_ssize_t size = 0;
    const char* utf8 = PyUnicode_AsUTF8AndSize(text, &size);
    if (utf8 == nullptr) return nullptr;
    socket_->send(true, {utf8, static_cast<std::size_t>(size)});
  } else if (bytes != nullptr && bytes != Py_None) {
    Py_buffer buffer;
    if (PyObject_GetBuffer(bytes, &buffer, PyBUF_SIMPLE) < 0) return nullptr;
    socket_->send(false,
                  {static_cast<const char*>(buffer.buf), static_cast<std::size_t>(buffer.len)});
    PyBuffer_Release(&buffer);
  } else {
    PyErr_SetString(PyExc_ValueError, "'websocket.send' has 'text' or 'bytes'");
    return nullptr;
  }
  return exchange()->congested() ? wait_for_room() : ready_none();
}

PyObject* WebSocketCall::start_denial(PyObject* message) {
  if (!start_answer(*context_, exchange()->responder(), message)) return nullptr;
  state_ = State::kDenying;
  return ready_none();
}

PyObject* WebSocketCall::send_denial(PyObject* message) {
  bool last = false;
  if (!write_answer(*context_, exchange()->responder(), message, last)) return nullptr;
  if (last) {
    closed_here_ = true;
    state_ = State::kEnded;
    leave();
    return ready_none();
  }
  return exchange()->congested() ? wait_for_room() : ready_none();
}

// ---- the end ----

void WebSocketCall::ended(bool raised) {
  if (raised && raised_for_want_of_client()) return;
  const bool open = state_ == State::kOpen;
  if (raised) {
    log_failure("Error handling WebSocket");
  } else if (!open && !client_gone()) {
    PyErr_SetString(PyExc_RuntimeError,
                    "the application returned without accepting or closing the WebSocket");
    log_failure("Error handling WebSocket");
  }
  if (open) {
    std::ignore = socket_->close(
        raised ? http::websocket_code::kInternalError : http::websocket_code::kNormal, {});
  }
}

}  // namespace corn::asgi
