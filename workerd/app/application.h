// SPDX-License-Identifier: Apache-2.0
// The one interface between the engine and application runtimes. The engine calls an Application
// with a request whose head is parsed and whose body may still be arriving; the application
// answers through a Responder. Both objects live until handle() returns, on the thread that called
// it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/message.h"
#include "base/result.h"
#include "base/worker_config.h"
#include "workerd/app/loop.h"
#include "workerd/app/strands.h"
#include "workerd/http/error.h"
#include "workerd/http/proxy_protocol.h"
#include "workerd/http/request_head.h"

namespace corn::app {

// The request's body, decoded. Application thread only.
class RequestBody {
 public:
  virtual ~RequestBody() = default;

  // Copies up to `size` (over 0) bytes to `to`; 0: the body has ended, whole. Waits for the client
  // when nothing is there, within body_timeout. Fails when the body is broken, too slow or its
  // client gone: such a body never ends in a success. The first call answers a waiting `Expect:
  // 100-continue`.
  virtual base::Result<std::size_t> read(char* to, std::size_t size) = 0;

  // After read() has failed: what the engine answers to such a body where the application has not
  // begun (400, 408); null when it is no matter of the body.
  [[nodiscard]] virtual std::optional<http::ProtocolError> problem() const = 0;

  // True when read() would return at once, so that a runtime keeps its interpreter lock.
  [[nodiscard]] virtual bool readable() const = 0;

  // True when every byte has arrived; available() is then what is left to read.
  [[nodiscard]] virtual bool whole() const = 0;
  [[nodiscard]] virtual std::uint64_t available() const = 0;
};

// Where a connection comes from and what it reached.
struct ConnectionInfo {
  std::string remote_host;  // numeric address; "" for a unix socket's client
  std::uint16_t remote_port = 0;
  const base::ListenerInfo* listener = nullptr;
  int socket = -1;  // the engine's own, to be looked at; what may be done beside: hand_over()
  // What a PROXY header has told; its client address, if it has one, is remote_host.
  std::optional<http::ProxyHeader> proxy = std::nullopt;
};

struct Request {
  const http::RequestHead& head;
  const ConnectionInfo& connection;
  std::string_view scheme;  // "http" or "https", forwarded scheme included
  RequestBody& body;
};

class Responder {
 public:
  virtual ~Responder() = default;

  // Sets status ("200 OK") and header fields, copied. They go out with the first write() of at
  // least one byte, or with finish(). May be called again until then, replacing what was set.
  // Fails, changing nothing, when status or a field can't be sent (control characters, bad
  // Content-Length), or the head is out.
  virtual base::Status start(std::string_view status, std::span<const http::Field> fields) = 0;

  // Sends body bytes at once, the head before the first ones. `last`: nothing follows, so that a
  // length can be stated. Waits while the client is slow to take them, within the engine's limits.
  // Fails with os_errno EPIPE when the client has gone (the application may stop), EMSGSIZE past
  // Content-Length (the surplus is not sent).
  virtual base::Status write(std::string_view bytes, bool last = false) = 0;

  // True when write() of a small chunk may wait, so that a runtime gives up its interpreter lock.
  [[nodiscard]] virtual bool may_wait() const = 0;

  // Sends `length` bytes of `fd` from `offset`, by sendfile(2) where that is possible. The
  // descriptor stays the caller's. Waits and fails as write(); other errors are the file's, which
  // is shorter than that or can't be read: the response is then as good as over.
  virtual base::Status send_file(int fd, off_t offset, std::uint64_t length) = 0;

  [[nodiscard]] virtual bool head_sent() const = 0;

  // Sends "103 Early Hints" with these fields (RFC 8297) at once; not to clients of HTTP/1.0, and
  // not once the head is out. Fails, having sent nothing, when a field can't be sent.
  virtual base::Status early_hints(std::span<const http::Field> fields) = 0;

  // The runtime's own variables (WSGI: of the environ) that the access log is made of, by name in
  // any case; the same for all requests of a worker. Their values are given, where there are any,
  // by log_variable() with the name's index, before handle() returns.
  [[nodiscard]] virtual std::span<const std::string> wanted_variables() const = 0;
  virtual void log_variable(std::size_t index, std::string_view value) = 0;

  // Leaves the connection's socket (ConnectionInfo::socket) to the application, which may make a
  // duplicate of it and change its mode: the engine sends and receives nothing more and closes it
  // when handle() returns. Fails, changing nothing, when part of the request has not arrived or
  // part of an answer not left.
  virtual base::Status hand_over() = 0;

  // The application has given all it has. A response shorter than its Content-Length is cut
  // off (the connection closes) and reported.
  virtual void finish() = 0;

  // The application failed: 500 with a small body when the head isn't out; otherwise the connection
  // is closed without a regular end, so that the client can tell. The caller has logged why.
  virtual void fail() = 0;

  // The same with another answer, where it isn't the application that failed.
  virtual void refuse(const http::ProtocolError& error) = 0;
};

class AsyncApplication;

// A loaded application. handle() is called on one thread at a time in sync, on several in threads.
class Application {
 public:
  virtual ~Application() = default;

  // Around the life of a thread that calls handle(), on that thread. Not called for the thread that
  // loaded the application.
  virtual void thread_started() {}
  virtual void thread_stopping() {}

  // Answers one request. Does not throw; whatever the application raises is answered and logged
  // here.
  virtual void handle(Request& request, Responder& responder) = 0;

  // Writes the stacks of all application threads to `fd`. Called on any thread, also while handle()
  // hangs with the interpreter lock held; must not take locks or allocate.
  virtual void dump_stacks(int fd) = 0;

  // The application's own loop, on which the engine is to live; null: the engine has its own.
  virtual HostLoop* host_loop() { return nullptr; }
  // The application as one whose requests don't wait in calls (async.h), which has a host loop;
  // null: handle() is called.
  virtual AsyncApplication* asynchronous() { return nullptr; }
  // The host loop as one with strands, on which handle() is called; null: it has none.
  virtual Strands* strands() { return nullptr; }
};

// Why an application could not be loaded.
struct LoadError {
  base::BootFailure kind = base::BootFailure::kApplication;
  std::string text;  // one sentence, then the traceback where there is one
};

}  // namespace corn::app
