// SPDX-License-Identifier: Apache-2.0
// The environ dictionary of a request (PEP 3333, RFC 3875). What all requests of a listener have in
// common is copied from a template.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "workerd/app/application.h"
#include "workerd/runtimes/python/object.h"
#include "workerd/runtimes/wsgi/texts.h"

namespace corn::wsgi {

class EnvironBuilder {
 public:
  // `errors` is wsgi.errors, `file_wrapper` wsgi.file_wrapper. With the lock held, as all
  // functions.
  EnvironBuilder(const base::WorkerConfig& config, python::Ref errors, python::Ref file_wrapper);
  ~EnvironBuilder();

  // The objects of a request that stand in its environ.
  struct Objects {
    PyObject* input;        // wsgi.input
    PyObject* early_hints;  // wsgi.early_hints
    PyObject* socket;       // gunicorn.socket
  };
  // A new environ. Null with an exception set on failure.
  python::Ref build(const app::Request& request, const Objects& objects);
  // build() has failed because the request's path doesn't lie below SCRIPT_NAME.
  [[nodiscard]] bool path_is_foreign() const { return path_is_foreign_; }

 private:
  // Keys, interned.
  struct Keys;
  PyObject* template_of(const app::Request& request);
  python::Ref make_template(const base::ListenerInfo& listener);
  bool set_request_line(PyObject* environ, const http::RequestHead& head);
  bool set_path(PyObject* environ, const http::RequestHead& head, PyObject* script_name);
  bool set_client(PyObject* environ, const app::ConnectionInfo& connection);
  static bool set_proxy(PyObject* environ, const http::ProxyHeader& proxy);
  // A SCRIPT_NAME among the fields replaces `script_name`, borrowed from the environ.
  bool set_headers(PyObject* environ, const http::RequestHead& head, PyObject*& script_name);
  bool set_server_from_host(PyObject* environ, const app::Request& request);

  const base::WorkerConfig& config_;
  python::Ref errors_;
  python::Ref file_wrapper_;
  python::Ref script_name_;  // of the process's environment variable SCRIPT_NAME
  std::unique_ptr<Keys> keys_;
  std::map<const base::ListenerInfo*, python::Ref> templates_;
  HeaderCache headers_;
  PortCache ports_;
  CachedText remote_host_;
  CachedText method_;
  CachedText protocol_;
  CachedText scheme_;
  CachedText target_;
  CachedText path_;
  CachedText query_;
  std::string decoded_path_;
  bool path_is_foreign_ = false;
};

}  // namespace corn::wsgi
