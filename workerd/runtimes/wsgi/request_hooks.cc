// SPDX-License-Identifier: Apache-2.0
#include "workerd/runtimes/wsgi/request_hooks.h"

#include <string>
#include <string_view>

namespace corn::wsgi {
namespace {

using python::Ref;

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
  python::Hooks* hooks = python::Hooks::current();
  if (hooks == nullptr || (!hooks->is_set("pre_request") && !hooks->is_set("post_request"))) {
    return nullptr;
  }
  return std::unique_ptr<RequestHooks>(new RequestHooks(*hooks));
}

Ref RequestHooks::begin(const app::Request& request, PyObject* body) {
  const http::RequestHead& head = request.head;
  const Ref method = latin1(head.method);
  const Ref uri = latin1(head.target);
  const Ref path = latin1(head.path);
  const Ref query = latin1(head.query);
  const Ref headers = header_list(head);
  const Ref scheme = latin1(request.scheme);
  const Ref host = latin1(request.connection.remote_host);
  if (!method || !uri || !path || !query || !headers || !scheme || !host) return {};
  const Ref parts = Ref::steal(
      Py_BuildValue("(OOOO(ii)OO(OI)O)", method.get(), uri.get(), path.get(), query.get(),
                    head.major_version, head.minor_version, headers.get(), scheme.get(), host.get(),
                    static_cast<unsigned int>(request.connection.remote_port), body));
  return hooks_.pre_request(parts.get());
}

void RequestHooks::end(PyObject* request, PyObject* environ, const Answer& answer) {
  if (!hooks_.is_set("post_request")) return;
  hooks_.post_request(request, environ, answer.status.get(), answer.headers.get(), answer.sent);
}

}  // namespace corn::wsgi
