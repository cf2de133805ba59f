// SPDX-License-Identifier: Apache-2.0
// The interface between the engine and an application that has many requests inside at once on one
// thread and waits for none of them in a call: an asynchronous one, on a host loop (loop.h).
//
// A request enters with its head. From then on each side tells the other what there is: nothing
// here waits. The order of a connection's requests is the engine's concern: the next one enters
// when the one before has left and its answer is on its way.
//
// Everything belongs to the loop's thread.
#pragma once

#include <cstddef>

#include "base/result.h"
#include "workerd/app/application.h"
#include "workerd/app/web_socket.h"

namespace corn::app {

// The application's end of a request inside.
class AsyncHandler {
 public:
  virtual ~AsyncHandler() = default;

  // Something has changed since the last call into the exchange: there is more of the body, or its
  // end; an answer finds room again; the client has gone. Called from within a turn, never from
  // within a call of the exchange; must not run the application, only wake it, but may leave().
  virtual void on_change() = 0;

  // The engine gives the exchange up while the application is still inside: the exchange is gone
  // when this returns.
  virtual void on_abandoned() = 0;
};

// The engine's end.
class AsyncExchange {
 public:
  virtual ~AsyncExchange() = default;

  [[nodiscard]] virtual const http::RequestHead& head() const = 0;
  [[nodiscard]] virtual const ConnectionInfo& connection() const = 0;
  [[nodiscard]] virtual std::string_view scheme() const = 0;  // as Request::scheme

  // Whom to tell; outlives the exchange. Once, before anything else.
  virtual void set_handler(AsyncHandler& handler) = 0;

  // ---- the request's body ----

  // Bytes that read_body() has now.
  [[nodiscard]] virtual std::size_t body_available() const = 0;
  // Those were all: nothing more comes.
  [[nodiscard]] virtual bool body_whole() const = 0;
  // The rest will not come: the client has gone, was too slow, or has broken the framing.
  [[nodiscard]] virtual bool body_broken() const = 0;
  // The application waits for the body: a client that waits for 100 (Continue) is told to go on.
  virtual void want_body() = 0;
  // Copies up to `size` bytes of what is there. More is received from the client only as this makes
  // room. Fails when a spilled body can't be read back.
  virtual base::Result<std::size_t> read_body(char* to, std::size_t size) = 0;

  // ---- the answer ----

  // start(), write(), finish(), fail(), early_hints() and head_sent() as described there, but
  // nothing waits: what the client doesn't take yet is kept. send_file() and hand_over() fail.
  [[nodiscard]] virtual Responder& responder() = 0;
  // So much is kept that the application should send no more before the next on_change().
  [[nodiscard]] virtual bool congested() const = 0;

  // The client has gone, or has ended its side of the connection and left nothing unread. What is
  // sent may still reach one that has only done the latter.
  [[nodiscard]] virtual bool client_ended() = 0;
  // The engine has answered in the application's place, or has cut the answer off: the request has
  // had its time. client_ended() holds too.
  [[nodiscard]] virtual bool given_up() const = 0;

  // The request is the opening handshake of a WebSocket, and a correct one: it is accepted, or
  // answered in the usual way, which denies it.
  [[nodiscard]] virtual bool asks_for_websocket() const = 0;
  // Accepts it, with one of the subprotocols that the client offers, or "", and further fields.
  // From then on the WebSocket, which is the exchange's, stands in for responder(); the handler is
  // told of messages and of its end. Fails, changing nothing, when a field can't be sent, or the
  // handshake has been answered.
  virtual base::Result<WebSocket*> accept_websocket(std::string_view subprotocol,
                                                    std::span<const http::Field> fields) = 0;

  // The application has left the request: what it hasn't finished fails. The exchange is gone when
  // this returns.
  virtual void leave() = 0;
};

// An application whose requests enter by begin(). handle() is not called.
class AsyncApplication : public Application {
 public:
  // A request enters. Called from within a turn; must not run the application, only get it going.
  virtual void begin(AsyncExchange& exchange) = 0;

  void handle(Request& /*request*/, Responder& responder) final { responder.fail(); }
  AsyncApplication* asynchronous() final { return this; }
};

}  // namespace corn::app
