// SPDX-License-Identifier: Apache-2.0
// The scope of a request (ASGI 3, HTTP and WebSocket 2.3). What all requests of a listener have in
// common is copied from a template. All of it belongs to the interpreter's lock.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "workerd/app/async.h"
#include "workerd/runtimes/asgi/texts.h"
#include "workerd/runtimes/python/object.h"

namespace corn::asgi {

class ScopeBuilder {
 public:
  // `state`: of the lifespan, each scope gets a copy; null or None: there is none.
  ScopeBuilder(const base::WorkerConfig& config, python::Ref state);
  ~ScopeBuilder();

  // A new scope. Null with an exception set on failure.
  python::Ref build(const app::AsyncExchange& exchange);
  // The same for the opening handshake of a WebSocket.
  python::Ref build_websocket(const app::AsyncExchange& exchange);

 private:
  struct Keys;
  PyObject* template_of(const base::ListenerInfo& listener);
  python::Ref make_template(const base::ListenerInfo& listener);
  PyObject* client_of(const app::ConnectionInfo& connection);
  PyObject* path_of(std::string_view path);

  const base::WorkerConfig& config_;
  python::Ref state_;
  std::unique_ptr<Keys> keys_;
  std::map<const base::ListenerInfo*, python::Ref> templates_;
  HeaderPairs headers_;
  CachedStr scheme_;
  CachedStr method_;
  CachedStr path_;
  CachedBytes raw_path_;
  CachedBytes query_;
  std::string decoded_path_;
  // The client that came last.
  std::string client_host_;
  std::uint16_t client_port_ = 0;
  python::Ref client_;
};

}  // namespace corn::asgi
