// SPDX-License-Identifier: Apache-2.0
#include "workerd/runtimes/asgi/http_call.h"

#include <algorithm>
#include <utility>

#include "workerd/runtimes/asgi/messages.h"
#include "workerd/runtimes/asgi/texts.h"

namespace corn::asgi {
namespace {

using python::Ref;

// Of a body in one message.
constexpr std::size_t kBodyMessageBytes = 256 * 1024;

// Of a message that was sent.
std::size_t size_of(PyObject* body) {
  const Py_ssize_t size = body != nullptr ? PyObject_Size(body) : 0;
  if (size < 0) PyErr_Clear();
  return size > 0 ? static_cast<std::size_t>(size) : 0;
}

bool is_type(PyObject* type, const Ref& name) {
  return type == name.get() || PyUnicode_Compare(type, name.get()) == 0;
}

}  // namespace

Ref HttpCall::make_scope() {
  Ref scope = context_->scopes->build(*exchange());
  if (!scope || context_->hooks == nullptr) [[likely]]
    return scope;
  hooked_ = context_->hooks->describe(exchange()->head(), exchange()->connection(),
                                      exchange()->scheme(), Py_None);
  const bool enters = hooked_ && context_->hooks->begin(hooked_.get()) &&
                      python::RequestHooks::amend_scope(hooked_.get(), scope.get());
  return enters ? std::move(scope) : Ref();
}

// ---- receive ----

bool HttpCall::has_message() const {
  if (exchange() == nullptr || client_gone()) return true;
  if (body_given_) return false;
  return exchange()->body_available() > 0 || exchange()->body_whole() || exchange()->body_broken();
}

PyObject* HttpCall::next_message() {
  if (exchange() == nullptr) return disconnect_message();
  if (!body_given_) {
    if (exchange()->body_available() > 0 || exchange()->body_whole()) return request_message();
    if (exchange()->body_broken()) return disconnect_message();
    if (client_gone()) return disconnect_message();
    exchange()->want_body();
    return nullptr;
  }
  return client_gone() ? disconnect_message() : nullptr;
}

PyObject* HttpCall::request_message() {
  const std::size_t size = std::min(exchange()->body_available(), kBodyMessageBytes);
  Ref body = Ref::steal(PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(size)));
  if (!body) return nullptr;
  for (std::size_t done = 0; done < size;) {
    const auto got = exchange()->read_body(PyBytes_AS_STRING(body.get()) + done, size - done);
    if (!got) {
      PyErr_SetString(PyExc_OSError, got.error().message.c_str());
      return nullptr;
    }
    done += *got;
  }
  body_given_ = exchange()->body_whole() && exchange()->body_available() == 0;
  Ref message = Ref::steal(PyDict_New());
  const auto& names = context_->names;
  if (!message || PyDict_SetItem(message.get(), names.type.get(), names.http_request.get()) < 0 ||
      PyDict_SetItem(message.get(), names.body.get(), body.get()) < 0 ||
      PyDict_SetItem(message.get(), names.more_body.get(), body_given_ ? Py_False : Py_True) < 0) {
    return nullptr;
  }
  return message.release();
}

PyObject* HttpCall::disconnect_message() {
  Ref message = Ref::steal(PyDict_New());
  if (!message || PyDict_SetItem(message.get(), context_->names.type.get(),
                                 context_->names.http_disconnect.get()) < 0) {
    return nullptr;
  }
  return message.release();
}

void HttpCall::changed() {
  if (receivers().any() && has_message()) receivers().wake(*context_);
}

// ---- send ----

PyObject* HttpCall::send(PyObject* message) {
  PyObject* type = PyDict_GetItemWithError(message, context_->names.type.get());
  if (type == nullptr || !PyUnicode_Check(type)) {
    if (PyErr_Occurred() == nullptr) PyErr_SetString(PyExc_ValueError, "a message has a 'type'");
    return nullptr;
  }
  if (complete_) {
    PyErr_Format(PyExc_RuntimeError, "%R was sent when the answer was complete", type);
    return nullptr;
  }
  if (exchange() == nullptr) return ready_none();
  if (is_type(type, context_->names.response_start)) return start_response(message);
  if (is_type(type, context_->names.response_body)) return send_body(message);
  PyErr_Format(PyExc_RuntimeError,
               "%R is no message of an answer; 'http.response.start' and 'http.response.body' are",
               type);
  return nullptr;
}

PyObject* HttpCall::start_response(PyObject* message) {
  if (started_) {
    PyErr_SetString(PyExc_RuntimeError, "'http.response.start' was sent before");
    return nullptr;
  }
  if (!start_answer(*context_, exchange()->responder(), message)) return nullptr;
  started_ = true;
  if (hooked_) note_start(message);
  return ready_none();
}

PyObject* HttpCall::send_body(PyObject* message) {
  if (!started_) {
    PyErr_SetString(PyExc_RuntimeError, "'http.response.body' was sent before the answer's start");
    return nullptr;
  }
  bool last = false;
  if (!write_answer(*context_, exchange()->responder(), message, last)) return nullptr;
  if (hooked_)
    answer_.sent += size_of(PyDict_GetItemWithError(message, context_->names.body.get()));
  if (last) {
    complete_ = true;
    leave();
    return ready_none();
  }
  return exchange()->congested() ? wait_for_room() : ready_none();
}

void HttpCall::note_start(PyObject* message) {
  const auto item = [message](const Ref& name) {
    return Ref::borrow(PyDict_GetItemWithError(message, name.get()));
  };
  const Ref status = item(context_->names.status);
  const std::string_view line = view_of(context_->status_line(PyLong_AsLong(status.get())));
  answer_.status = Ref::steal(
      PyUnicode_DecodeLatin1(line.data(), static_cast<Py_ssize_t>(line.size()), nullptr));
  answer_.headers = item(context_->names.headers);
  PyErr_Clear();
}

// ---- the end ----

// As in gunicorn, also after a pre_request that raised.
void HttpCall::settled() {
  if (const Ref request = std::exchange(hooked_, Ref())) {
    const Ref environ = python::RequestHooks::environ_of(request.get());
    if (!environ) log_failure("No environ for post_request of");
    context_->hooks->end(request.get(), environ.get(), answer_);
  }
}

void HttpCall::ended(bool raised) {
  if (raised && raised_for_want_of_client()) return;
  if (raised) {
    log_failure("Error handling request");
  } else if (!client_gone()) {
    PyErr_SetString(PyExc_RuntimeError,
                    started_ ? "the application returned before its answer was complete"
                             : "the application returned without an answer");
    log_failure("Error handling request");
  }
}

}  // namespace corn::asgi
