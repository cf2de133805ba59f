// SPDX-License-Identifier: Apache-2.0
#include "workerd/runtimes/asgi/scope.h"

#include <fmt/core.h>

#include "workerd/http/percent.h"
#include "workerd/http/websocket.h"

namespace corn::asgi {

using python::Ref;

// A name each, in the order of the specification.
struct ScopeBuilder::Keys {
  static Ref make(const char* name) { return Ref::steal(PyUnicode_InternFromString(name)); }

  Ref http_version = make("http_version");
  Ref method = make("method");
  Ref scheme = make("scheme");
  Ref path = make("path");
  Ref raw_path = make("raw_path");
  Ref query_string = make("query_string");
  Ref headers = make("headers");
  Ref client = make("client");
  Ref state = make("state");
};

namespace {

bool set(PyObject* scope, const Ref& key, PyObject* value) {
  return value != nullptr && PyDict_SetItem(scope, key.get(), value) == 0;
}

bool set(PyObject* scope, const char* key, const Ref& value) {
  return value && PyDict_SetItemString(scope, key, value.get()) == 0;
}

Ref str(const char* text) { return Ref::steal(PyUnicode_InternFromString(text)); }

}  // namespace

ScopeBuilder::ScopeBuilder(const base::WorkerConfig& config, Ref state)
    : config_(config), state_(std::move(state)), keys_(std::make_unique<Keys>()) {
  if (state_.get() == Py_None) state_ = Ref();
}

ScopeBuilder::~ScopeBuilder() = default;

Ref ScopeBuilder::build(const app::AsyncExchange& exchange) {
  const http::RequestHead& head = exchange.head();
  PyObject* base = template_of(*exchange.connection().listener);
  Ref scope = base != nullptr ? Ref::steal(PyDict_Copy(base)) : Ref();
  if (!scope) return {};
  Ref headers = Ref::steal(PyList_New(static_cast<Py_ssize_t>(head.fields.size())));
  if (!headers) return {};
  for (std::size_t i = 0; i < head.fields.size(); ++i) {
    PyObject* pair = headers_.get(head.fields[i]);
    if (pair == nullptr) return {};
    PyList_SET_ITEM(headers.get(), static_cast<Py_ssize_t>(i), pair);
  }
  PyObject* target = scope.get();
  if (!set(target, keys_->method, method_.get(head.method)) ||
      !set(target, keys_->scheme, scheme_.get(exchange.scheme())) ||
      !set(target, keys_->path, path_of(head.path)) ||
      !set(target, keys_->raw_path, raw_path_.get(head.path)) ||
      !set(target, keys_->query_string, query_.get(head.query)) ||
      !set(target, keys_->headers, headers.get()) ||
      !set(target, keys_->client, client_of(exchange.connection()))) {
    return {};
  }
  if (head.major_version != 1 || head.minor_version != 1) [[unlikely]] {
    const std::string version = fmt::format("{}.{}", head.major_version, head.minor_version);
    if (!set(target, keys_->http_version, python::to_str(version).get())) return {};
  }
  if (state_ && !set(target, keys_->state, Ref::steal(PyDict_Copy(state_.get())).get())) return {};
  return scope;
}

Ref ScopeBuilder::build_websocket(const app::AsyncExchange& exchange) {
  Ref scope = build(exchange);
  const auto offered = http::websocket_subprotocols(exchange.head());
  const Ref subprotocols = Ref::steal(PyList_New(0));
  if (!scope || !subprotocols) return {};
  for (const std::string_view name : offered) {
    const Ref text = python::to_str(name);
    if (!text || PyList_Append(subprotocols.get(), text.get()) < 0) return {};
  }
  PyObject* target = scope.get();
  const Ref extensions = Ref::steal(Py_BuildValue("{s:{}}", "websocket.http.response"));
  const bool made =
      set(target, "type", str("websocket")) &&
      set(target, keys_->scheme, str(exchange.scheme() == "https" ? "wss" : "ws").get()) &&
      set(target, "subprotocols", Ref::borrow(subprotocols.get())) &&
      set(target, "extensions", extensions) && PyDict_DelItem(target, keys_->method.get()) == 0;
  return made ? std::move(scope) : Ref();
}

PyObject* ScopeBuilder::template_of(const base::ListenerInfo& listener) {
  const auto found = templates_.find(&listener);
  if (found != templates_.end()) [[likely]]
    return found->second.get();
  Ref made = make_template(listener);
  if (!made) return nullptr;
  return templates_.emplace(&listener, std::move(made)).first->second.get();
}

Ref ScopeBuilder::make_template(const base::ListenerInfo& listener) {
  Ref scope = Ref::steal(PyDict_New());
  if (!scope) return {};
  PyObject* target = scope.get();
  // A unix socket is known by its path and has no port.
  const Ref port =
      listener.unix_socket ? Ref::borrow(Py_None) : Ref::steal(PyLong_FromLong(listener.port));
  const Ref host = python::to_str(listener.host);
  const bool made =
      port && host && set(target, "type", str("http")) &&
      set(target, "asgi",
          Ref::steal(Py_BuildValue("{s:s,s:s}", "version", "3.0", "spec_version", "2.3"))) &&
      set(target, keys_->http_version, str("1.1").get()) &&
      set(target, "server", Ref::steal(PyTuple_Pack(2, host.get(), port.get()))) &&
      // Written anew for every request; here, so that they have their places.
      set(target, keys_->client, Py_None) && set(target, keys_->scheme, Py_None) &&
      set(target, keys_->method, Py_None) &&
      set(target, "root_path", python::to_str(config_.root_path)) &&
      set(target, keys_->path, Py_None) && set(target, keys_->raw_path, Py_None) &&
      set(target, keys_->query_string, Py_None) && set(target, keys_->headers, Py_None) &&
      (!state_ || set(target, keys_->state, Py_None));
  return made ? std::move(scope) : Ref();
}

// A client on a unix socket has no address.
PyObject* ScopeBuilder::client_of(const app::ConnectionInfo& connection) {
  if (connection.remote_host.empty()) return Py_None;
  if (!client_ || client_port_ != connection.remote_port ||
      client_host_ != connection.remote_host) {
    client_host_ = connection.remote_host;
    client_port_ = connection.remote_port;
    client_ = Ref::steal(Py_BuildValue("(si)", client_host_.c_str(), client_port_));
  }
  return client_.get();
}

PyObject* ScopeBuilder::path_of(std::string_view path) {
  if (path.find('%') == std::string_view::npos) return path_.get(path);
  http::percent_decode(path, decoded_path_);
  return path_.get(decoded_path_);
}

}  // namespace corn::asgi
