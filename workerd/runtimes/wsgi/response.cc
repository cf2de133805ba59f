// SPDX-License-Identifier: Apache-2.0
#include "workerd/runtimes/wsgi/response.h"

#include <cerrno>
#include <string>

#include "base/log.h"
#include "workerd/runtimes/python/gil.h"
#include "workerd/runtimes/python/object.h"
#include "workerd/runtimes/wsgi/file_wrapper.h"
#include "workerd/runtimes/wsgi/start_response.h"

namespace corn::wsgi {
namespace {

using python::Ref;

// The blocks of a list up to this size are sent as one.
constexpr std::size_t kJoinedBytes = 64 * 1024;

std::string_view view_of(PyObject* bytes) {
  return {PyBytes_AS_STRING(bytes), static_cast<std::size_t>(PyBytes_GET_SIZE(bytes))};
}

bool check_block(const Exchange& exchange, PyObject* block) {
  if (!PyBytes_Check(block)) {
    PyErr_Format(PyExc_TypeError, "the application must yield bytes, not %.100s",
                 Py_TYPE(block)->tp_name);
    return false;
  }
  if (!exchange.started) {
    PyErr_SetString(PyExc_AssertionError,
                    "the application yielded its body before it called start_response");
    return false;
  }
  return true;
}

bool check_started(const Exchange& exchange) {
  if (!exchange.started) {
    PyErr_SetString(PyExc_AssertionError,
                    "the application returned without calling start_response");
  }
  return exchange.started;
}

// After send(): whether the response may count as whole although not everything was taken.
bool all_is_well(const Exchange& exchange) {
  return !exchange.client_gone && PyErr_Occurred() == nullptr;
}

// A list or tuple: all is there, so that its length can be stated and small blocks go out together.
bool send_sequence(Exchange& exchange, PyObject* sequence) {
  if (!check_started(exchange)) return false;
  const Py_ssize_t count = PySequence_Fast_GET_SIZE(sequence);
  std::size_t total = 0;
  for (Py_ssize_t i = 0; i < count; ++i) {
    PyObject* block = PySequence_Fast_GET_ITEM(sequence, i);
    if (!check_block(exchange, block)) return false;
    total += view_of(block).size();
  }
  if (total == 0) return true;
  // While the lock is given up, a list may shrink, and its blocks may be replaced.
  if (count == 1) {
    const Ref block = Ref::borrow(PySequence_Fast_GET_ITEM(sequence, 0));
    return send(exchange, view_of(block.get()), true) || all_is_well(exchange);
  }
  if (total <= kJoinedBytes) {
    std::string joined;
    joined.reserve(total);
    for (Py_ssize_t i = 0; i < count; ++i) joined += view_of(PySequence_Fast_GET_ITEM(sequence, i));
    return send(exchange, joined, true) || all_is_well(exchange);
  }
  std::size_t sent = 0;
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(sequence); ++i) {
    const Ref block = Ref::borrow(PySequence_Fast_GET_ITEM(sequence, i));
    if (!check_block(exchange, block.get())) return false;
    const std::string_view bytes = view_of(block.get());
    sent += bytes.size();
    if (!bytes.empty() && !send(exchange, bytes, sent == total)) return all_is_well(exchange);
  }
  return true;
}

bool send_iterable(Exchange& exchange, PyObject* result) {
  const Ref iterator = Ref::steal(PyObject_GetIter(result));
  if (!iterator) return false;
  const bool head_only = exchange.request.head.method == "HEAD";
  while (const Ref block = Ref::steal(PyIter_Next(iterator.get()))) {
    // An empty block before start_response() is allowed: the application is not ready yet.
    if (PyBytes_Check(block.get()) && PyBytes_GET_SIZE(block.get()) == 0) continue;
    if (!check_block(exchange, block.get())) return false;
    if (!send(exchange, view_of(block.get()), false)) return all_is_well(exchange);
    if (head_only) return true;  // the rest would be made to be thrown away
  }
  return PyErr_Occurred() == nullptr && check_started(exchange);
}

bool send_file(Exchange& exchange, const FileRange& range) {
  if (!check_started(exchange)) return false;
  base::Status status;
  {
    const python::GilYield yield;
    status = exchange.responder.send_file(range.fd, range.offset, range.length);
  }
  if (status && exchange.answer != nullptr) exchange.answer->sent += range.length;
  // More than Content-Length is cut off in silence: a part of a file is sent this way.
  if (status || status.error().os_errno == EMSGSIZE) return true;
  const http::RequestHead& head = exchange.request.head;
  if (status.error().os_errno == EPIPE) {
    base::log_debug("The response to {} {} ends early: {}", head.method,
                    base::printable(head.target), status.error().message);
  } else {
    base::log_error("The response to {} {} is cut off: {}", head.method,
                    base::printable(head.target), status.error().message);
  }
  exchange.client_gone = true;
  return false;
}

}  // namespace

bool send_result(Exchange& exchange, PyObject* result, PyObject* file_wrapper_type) {
  if (PyList_CheckExact(result) || PyTuple_CheckExact(result)) {
    return send_sequence(exchange, result);
  }
  if (reinterpret_cast<PyObject*>(Py_TYPE(result)) == file_wrapper_type) {
    if (const auto range = file_range(result)) return send_file(exchange, *range);
  }
  return send_iterable(exchange, result);
}

bool close_result(PyObject* result) {
  if (PyList_CheckExact(result) || PyTuple_CheckExact(result)) return true;
  const Ref close = Ref::steal(PyObject_GetAttrString(result, "close"));
  if (!close) {
    if (PyErr_ExceptionMatches(PyExc_AttributeError) == 0) return false;
    PyErr_Clear();
    return true;
  }
  return static_cast<bool>(Ref::steal(PyObject_CallNoArgs(close.get())));
}

}  // namespace corn::wsgi
