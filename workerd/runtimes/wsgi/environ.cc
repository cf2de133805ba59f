// SPDX-License-Identifier: Apache-2.0
#include "workerd/runtimes/wsgi/environ.h"

#include <fmt/core.h>

#include <cstdlib>

#include "workerd/http/percent.h"

namespace corn::wsgi {

using python::Ref;

// The variables written for every request; a name each, in the order of RFC 3875 and PEP 3333.
struct EnvironBuilder::Keys {
  static Ref make(const char* name) { return Ref::steal(PyUnicode_InternFromString(name)); }

  Ref request_method = make("REQUEST_METHOD");
  Ref script_name = make("SCRIPT_NAME");
  Ref path_info = make("PATH_INFO");
  Ref query_string = make("QUERY_STRING");
  Ref raw_uri = make("RAW_URI");
  Ref server_name = make("SERVER_NAME");
  Ref server_port = make("SERVER_PORT");
  Ref server_protocol = make("SERVER_PROTOCOL");
  Ref remote_addr = make("REMOTE_ADDR");
  Ref remote_port = make("REMOTE_PORT");
  Ref url_scheme = make("wsgi.url_scheme");
  Ref input = make("wsgi.input");
  Ref early_hints = make("wsgi.early_hints");
  Ref socket = make("gunicorn.socket");
};

namespace {

bool set(PyObject* environ, const Ref& key, PyObject* value) {
  return value != nullptr && PyDict_SetItem(environ, key.get(), value) == 0;
}

bool set(PyObject* environ, const char* key, const Ref& value) {
  return value && PyDict_SetItemString(environ, key, value.get()) == 0;
}

Ref boolean(bool value) { return Ref::steal(PyBool_FromLong(value ? 1 : 0)); }

// Appends to a value that is there already (RFC 9110 section 5.3; cookies: RFC 6265 section 4.2.1).
bool join(PyObject* environ, const Header& header, PyObject* value) {
  PyObject* present = PyDict_GetItemWithError(environ, header.key.get());
  if (present == nullptr) return false;
  const char* form = header.kind == HeaderKind::kCookie ? "%U; %U" : "%U,%U";
  return set(environ, header.key, Ref::steal(PyUnicode_FromFormat(form, present, value)).get());
}

// Splits "example.org:8080" and "[::1]:8080"; the port may be missing.
std::pair<std::string_view, std::string_view> split_host(std::string_view host) {
  const auto colon = host.rfind(':');
  const bool has_port =
      colon != std::string_view::npos && host.find(']', colon) == std::string_view::npos;
  if (!has_port) return {host, {}};
  return {host.substr(0, colon), host.substr(colon + 1)};
}

// A dict grows when its table is two thirds full, and a copy has the size of its original. With two
// more keys than it needs, put in and taken out again, the table has room for the header fields of
// most requests, so that copies need not grow.
bool make_room(PyObject* environ) {
  for (const char* key : {"corn.room.1", "corn.room.2", "corn.room.3", "corn.room.4"}) {
    if (PyDict_SetItemString(environ, key, Py_None) < 0) return false;
  }
  for (const char* key : {"corn.room.1", "corn.room.2", "corn.room.3", "corn.room.4"}) {
    if (PyDict_DelItemString(environ, key) < 0) return false;
  }
  return true;
}

}  // namespace

EnvironBuilder::EnvironBuilder(const base::WorkerConfig& config, Ref errors, Ref file_wrapper)
    : config_(config),
      errors_(std::move(errors)),
      file_wrapper_(std::move(file_wrapper)),
      keys_(std::make_unique<Keys>()) {
  const char* script_name = std::getenv("SCRIPT_NAME");
  script_name_ = to_native(script_name != nullptr ? script_name : "");
}

EnvironBuilder::~EnvironBuilder() = default;

Ref EnvironBuilder::build(const app::Request& request, const Objects& objects) {
  PyObject* base = template_of(request);
  if (base == nullptr) return {};
  Ref environ = Ref::steal(PyDict_Copy(base));
  if (!environ) return {};
  path_is_foreign_ = false;
  PyObject* script_name = script_name_.get();
  PyObject* target = environ.get();
  if (!set(target, keys_->input, objects.input) ||
      !set(target, keys_->early_hints, objects.early_hints) ||
      !set(target, keys_->socket, objects.socket) ||
      !set(target, keys_->url_scheme, scheme_.get(request.scheme)) ||
      !set_request_line(target, request.head) || !set_client(target, request.connection) ||
      !set_headers(target, request.head, script_name) ||
      !set_path(target, request.head, script_name) ||
      (request.connection.listener->unix_socket && !set_server_from_host(target, request))) {
    return {};
  }
  return environ;
}

PyObject* EnvironBuilder::template_of(const app::Request& request) {
  const auto found = templates_.find(request.connection.listener);
  if (found != templates_.end()) [[likely]]
    return found->second.get();
  Ref made = make_template(*request.connection.listener);
  if (!made) return nullptr;
  return templates_.emplace(request.connection.listener, std::move(made)).first->second.get();
}

Ref EnvironBuilder::make_template(const base::ListenerInfo& listener) {
  Ref result = Ref::steal(PyDict_New());
  if (!result) return {};
  PyObject* environ = result.get();
  const std::string port = listener.unix_socket ? std::string() : std::to_string(listener.port);
  const bool concurrent = config_.worker_class != base::WorkerClass::kSync;
  const bool made =
      // Written anew for every request; here, so that they have their places.
      set(environ, keys_->request_method, Py_None) && set(environ, keys_->script_name, Py_None) &&
      set(environ, keys_->path_info, Py_None) && set(environ, keys_->query_string, Py_None) &&
      set(environ, keys_->raw_uri, Py_None) && set(environ, keys_->server_protocol, Py_None) &&
      set(environ, keys_->remote_addr, Py_None) && set(environ, keys_->url_scheme, Py_None) &&
      set(environ, keys_->input, Py_None) && set(environ, keys_->early_hints, Py_None) &&
      set(environ, keys_->socket, Py_None) &&
      // The same for all.
      set(environ, keys_->server_name, to_native(listener.host).get()) &&
      set(environ, keys_->server_port, to_native(port).get()) &&
      set(environ, "SERVER_SOFTWARE", to_native("corn/" CORN_VERSION)) &&
      set(environ, "wsgi.version", Ref::steal(Py_BuildValue("(ii)", 1, 0))) &&
      set(environ, "wsgi.errors", Ref::borrow(errors_.get())) &&
      set(environ, "wsgi.multithread", boolean(concurrent)) &&
      set(environ, "wsgi.multiprocess", boolean(config_.multiprocess)) &&
      set(environ, "wsgi.run_once", boolean(false)) &&
      set(environ, "wsgi.input_terminated", boolean(true)) &&
      set(environ, "wsgi.file_wrapper", Ref::borrow(file_wrapper_.get())) && make_room(environ);
  return made ? std::move(result) : Ref();
}

bool EnvironBuilder::set_request_line(PyObject* environ, const http::RequestHead& head) {
  if (head.major_version == 1 && head.minor_version == 1) {
    if (!set(environ, keys_->server_protocol, protocol_.get("HTTP/1.1"))) return false;
  } else {
    const std::string version = fmt::format("HTTP/{}.{}", head.major_version, head.minor_version);
    if (!set(environ, keys_->server_protocol, to_native(version).get())) return false;
  }
  return set(environ, keys_->request_method, method_.get(head.method)) &&
         set(environ, keys_->query_string, query_.get(head.query)) &&
         set(environ, keys_->raw_uri, target_.get(head.target));
}

// As gunicorn has it: SCRIPT_NAME is a prefix of the path as sent, and PATH_INFO the rest of it;
// but only at the end of a segment: /app is no prefix of /apple. A slash at its end belongs to
// PATH_INFO, which begins with one (PEP 3333). `OPTIONS *` asks for the whole server.
bool EnvironBuilder::set_path(PyObject* environ, const http::RequestHead& head,
                              PyObject* script_name) {
  std::string_view path = head.path;
  Ref shortened;
  if (PyUnicode_GET_LENGTH(script_name) > 0) [[unlikely]] {
    const Ref bytes = Ref::steal(PyUnicode_AsLatin1String(script_name));
    if (!bytes) return false;
    std::string_view prefix(PyBytes_AS_STRING(bytes.get()),
                            static_cast<std::size_t>(PyBytes_GET_SIZE(bytes.get())));
    while (prefix.ends_with('/')) prefix.remove_suffix(1);
    if (head.target_form == http::TargetForm::kAsterisk) prefix = {};
    const bool below =
        path.starts_with(prefix) && (path.size() == prefix.size() || path[prefix.size()] == '/');
    if (!prefix.empty() && !below) {
      path_is_foreign_ = true;
      PyErr_Format(PyExc_ValueError, "the path of the request does not start with SCRIPT_NAME %R",
                   script_name);
      return false;
    }
    path.remove_prefix(prefix.size());
    shortened = to_native(prefix);
    if (!shortened) return false;
    script_name = shortened.get();
  }
  if (path.find('%') != std::string_view::npos) {
    http::percent_decode(path, decoded_path_);
    path = decoded_path_;
  }
  return set(environ, keys_->script_name, script_name) &&
         set(environ, keys_->path_info, path_.get(path));
}

// A client on a unix socket has no address: gunicorn gives an empty one, and no port.
bool EnvironBuilder::set_client(PyObject* environ, const app::ConnectionInfo& connection) {
  if (!set(environ, keys_->remote_addr, remote_host_.get(connection.remote_host))) return false;
  if (connection.proxy && !set_proxy(environ, *connection.proxy)) [[unlikely]]
    return false;
  return connection.remote_host.empty() ||
         set(environ, keys_->remote_port, ports_.get(connection.remote_port));
}

// gunicorn's keys. A header without addresses (LOCAL, UNKNOWN, a unix socket) sets the first alone.
bool EnvironBuilder::set_proxy(PyObject* environ, const http::ProxyHeader& proxy) {
  if (!set(environ, "PROXY_PROTOCOL", to_native(proxy.protocol))) return false;
  return !proxy.has_addresses() ||
         (set(environ, "PROXY_ADDR", to_native(proxy.proxy_address)) &&
          set(environ, "PROXY_PORT", to_native(std::to_string(proxy.proxy_port))));
}

bool EnvironBuilder::set_headers(PyObject* environ, const http::RequestHead& head,
                                 PyObject*& script_name) {
  for (const http::Field& field : head.fields) {
    Header* header = headers_.find(field.name);
    if (header == nullptr) return false;
    Ref fresh;
    PyObject* value = nullptr;
    if (header->secret) {
      fresh = to_native(field.value);
      value = fresh.get();
    } else {
      value = header->value.get(field.value);
    }
    if (value == nullptr) return false;
    const Py_ssize_t before = PyDict_GET_SIZE(environ);
    if (PyDict_SetDefault(environ, header->key.get(), value) == nullptr) return false;
    if (PyDict_GET_SIZE(environ) == before && !join(environ, *header, value)) return false;
    if (header->kind == HeaderKind::kScriptName) {
      script_name = PyDict_GetItemWithError(environ, header->key.get());
      if (script_name == nullptr) return false;
    }
  }
  return true;
}

// A unix socket has neither name nor port; what the client calls the server stands in.
bool EnvironBuilder::set_server_from_host(PyObject* environ, const app::Request& request) {
  if (request.head.host.empty()) return true;
  auto [name, port] = split_host(request.head.host);
  if (port.empty()) port = request.scheme == "https" ? "443" : "80";
  return set(environ, keys_->server_name, to_native(name).get()) &&
         set(environ, keys_->server_port, to_native(port).get());
}

}  // namespace corn::wsgi
