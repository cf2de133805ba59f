// SPDX-License-Identifier: Apache-2.0
// One call of the application: application(scope, receive, send), for a request or a WebSocket, run
// by an asyncio task of its own. The Python object is what the task runs: a coroutine that begins
// with the call and in which the application's coroutine goes on, so that its end is seen at once,
// without a callback. With the interpreter's lock, on the loop's thread.
#pragma once

#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "workerd/app/async.h"
#include "workerd/runtimes/asgi/awaitable.h"
#include "workerd/runtimes/asgi/context.h"
#include "workerd/runtimes/python/object.h"

namespace corn::asgi {

// Futures that wait for the same thing.
class Waiters {
 public:
  [[nodiscard]] bool any() const { return !futures_.empty(); }
  python::Ref add(const Context& context);
  void wake(const Context& context);

 private:
  std::vector<python::Ref> futures_;
};

class Call : public app::AsyncHandler {
 public:
  // Begins; the task will call the application. What goes wrong is logged and fails the request.
  template <typename Kind>
  static void begin(const std::shared_ptr<Context>& context, app::AsyncExchange& exchange) {
    start(std::make_unique<Kind>(context, exchange));
  }

  ~Call() override;
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  // Types made once; false with an exception set on failure.
  static bool make_types();

  // Null once the application is through.
  [[nodiscard]] PyObject* task() const { return task_.get(); }
  // The request hasn't been answered whole.
  [[nodiscard]] bool in_flight() const { return exchange_ != nullptr; }

  // ---- for the Python objects ----
  PySendResult resume(PyObject* argument, PyObject** result);
  PyObject* throw_in(PyObject* arguments);
  void close();
  // The awaitables of receive() and send(message); null with an exception set on failure.
  PyObject* receive() { return new_awaitable(self_, receive_source_); }
  virtual PyObject* send(PyObject* message) = 0;

 protected:
  Call(std::shared_ptr<Context> context, app::AsyncExchange& exchange);

  // Null with an exception set on failure.
  virtual python::Ref make_scope() = 0;
  // The message for receive() now: a new reference. Null without an exception: none yet.
  virtual PyObject* next_message() = 0;
  // Something has changed; the exchange lives.
  virtual void changed() = 0;
  // The application has returned, or raised what is set as the exception, with the exchange still
  // there: it is left afterwards.
  virtual void ended(bool raised) = 0;
  // The application is through, whatever became of the exchange. Nothing is raised.
  virtual void settled() {}

  // app::AsyncHandler
  void on_change() override;
  void on_abandoned() override;

  // Null once it was left.
  [[nodiscard]] app::AsyncExchange* exchange() const { return exchange_; }
  [[nodiscard]] bool client_gone() const { return client_gone_; }
  // The client has gone; the application, which is told by receive(), has asgi_disconnect_grace to
  // come to an end.
  void begin_grace();
  // The request is over for the engine; the application may go on.
  void leave();
  // An awaitable that is ready when the client has taken enough of what was sent.
  PyObject* wait_for_room() { return new_awaitable(self_, send_source_); }
  Waiters& receivers() { return receivers_; }
  // Logs what is raised; nothing is raised afterwards.
  void log_failure(std::string_view what) const;
  [[nodiscard]] bool raised_for_want_of_client() const;

  // Shared: Python objects that the application keeps, or that only the garbage collector finds,
  // have their call outlive the runtime, until the interpreter's end.
  const std::shared_ptr<Context> context_;

 private:
  class ReceiveSource final : public Source {
   public:
    explicit ReceiveSource(Call& call) : call_(call) {}
    PyObject* poll() override { return call_.next_message(); }
    python::Ref wait() override { return call_.receivers_.add(*call_.context_); }

   private:
    Call& call_;
  };
  class SendSource final : public Source {
   public:
    explicit SendSource(Call& call) : call_(call) {}
    PyObject* poll() override;
    python::Ref wait() override { return call_.senders_.add(*call_.context_); }

   private:
    Call& call_;
  };

  static void start(std::unique_ptr<Call> call);
  bool call_application();
  void settle(bool raised);
  void note_client_gone();
  void cancel_timer();

  app::AsyncExchange* exchange_;
  PyObject* self_ = nullptr;  // the Python object, which owns this one
  std::string what_;          // "GET /path", for the log
  python::Ref task_;
  python::Ref coroutine_;  // the application's
  python::Ref grace_timer_;
  bool begun_ = false;
  bool over_ = false;
  bool client_gone_ = false;
  ReceiveSource receive_source_{*this};
  SendSource send_source_{*this};
  Waiters receivers_;
  Waiters senders_;
  std::list<Call*>::iterator place_;
};

}  // namespace corn::asgi
