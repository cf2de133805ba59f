// SPDX-License-Identifier: Apache-2.0
#include "workerd/runtimes/python/request_hooks.h"

#include <string>
#include <string_view>
#include <utility>

#include "base/log.h"
#include "workerd/runtimes/python/embedded_sources.h"
#include "workerd/runtimes/python/exception.h"

namespace corn::python {
namespace {

Ref latin1(std::string_view bytes) {
  return Ref::steal(
      PyUnicode_DecodeLatin1(bytes.data(), static_cast<Py_ssize_t>(bytes.size()), nullptr));
}

std::string upper_case(std::string_view text) {
  std::string upper(text);
  for (char& c : upper) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return upper;
}

// gunicorn's: a list of (NAME, value).
Ref header_list(const http::RequestHead& head) {
  Ref list = Ref::steal(PyList_New(0));
  if (!list) return list;
  for (const http::Field& field : head.fields) {
    const Ref name = latin1(upper_case(field.name));
    const Ref value = latin1(field.value);
    const Ref pair = name && value ? Ref::steal(PyTuple_Pack(2, name.get(), value.get())) : Ref();
    if (!pair || PyList_Append(list.get(), pair.get()) != 0) return {};
  }
  return list;
}

}  // namespace

std::unique_ptr<RequestHooks> RequestHooks::find() {
  Hooks* hooks = Hooks::current();
  if (hooks == nullptr || (!hooks->is_set("pre_request") && !hooks->is_set("post_request"))) {
    return nullptr;
  }
  const Ref parts = run_embedded(kHookObjectsSource, "<corn hook objects>", "parts");
  Ref request_type = parts ? Ref::steal(PyObject_GetAttrString(parts.get(), "Request")) : Ref();
  Ref response_type = parts ? Ref::steal(PyObject_GetAttrString(parts.get(), "Response")) : Ref();
  if (!request_type || !response_type) {
    base::log_error("pre_request and post_request cannot be called: {}", take_exception().text);
    return nullptr;
  }
  return std::unique_ptr<RequestHooks>(
      new RequestHooks(*hooks, std::move(request_type), std::move(response_type)));
}

Ref RequestHooks::describe(const http::RequestHead& head, const app::ConnectionInfo& connection,
                           std::string_view scheme_text, PyObject* body) {
  const Ref method = latin1(head.method);
  const Ref uri = latin1(head.target);
  const Ref path = latin1(head.path);
  const Ref query = latin1(head.query);
  const Ref headers = header_list(head);
  const Ref scheme = latin1(scheme_text);
  const Ref host = latin1(connection.remote_host);
  if (!method || !uri || !path || !query || !headers || !scheme || !host) return {};
  return Ref::steal(PyObject_CallFunction(
      request_type_.get(), "OOOO(ii)OO(OI)O", method.get(), uri.get(), path.get(), query.get(),
      head.major_version, head.minor_version, headers.get(), scheme.get(), host.get(),
      static_cast<unsigned int>(connection.remote_port), body));
}

bool RequestHooks::amend(PyObject* request, PyObject* environ) {
  return static_cast<bool>(Ref::steal(PyObject_CallMethod(request, "amend", "O", environ)));
}

bool RequestHooks::amend_scope(PyObject* request, PyObject* scope) {
  return static_cast<bool>(Ref::steal(PyObject_CallMethod(request, "amend_scope", "O", scope)));
}

Ref RequestHooks::environ_of(PyObject* request) {
  return Ref::steal(PyObject_CallMethod(request, "environ", nullptr));
}

void RequestHooks::end(PyObject* request, PyObject* environ, const Answer& answer) {
  if (!hooks_.is_set("post_request")) return;
  const auto or_none = [](PyObject* object) { return object != nullptr ? object : Py_None; };
  const Ref response = Ref::steal(PyObject_CallFunction(
      response_type_.get(), "OOOK", request, or_none(answer.status.get()),
      or_none(answer.headers.get()), static_cast<unsigned long long>(answer.sent)));
  const Ref variables = environ != nullptr ? Ref::borrow(environ) : Ref::steal(PyDict_New());
  if (response && variables) {
    hooks_.post_request(request, variables.get(), response.get());
  } else {
    base::log_error("post_request is not called: {}", take_exception().text);
  }
}

}  // namespace corn::python
