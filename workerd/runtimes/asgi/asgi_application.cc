// SPDX-License-Identifier: Apache-2.0
#include "workerd/runtimes/asgi/asgi_application.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <tuple>
#include <utility>

#include "base/log.h"
#include "workerd/app/async.h"
#include "workerd/runtimes/asgi/call.h"
#include "workerd/runtimes/asgi/context.h"
#include "workerd/runtimes/asgi/host_source.h"
#include "workerd/runtimes/asgi/http_call.h"
#include "workerd/runtimes/asgi/websocket_call.h"
#include "workerd/runtimes/python/embedded_sources.h"
#include "workerd/runtimes/python/exception.h"
#include "workerd/runtimes/python/gil.h"
#include "workerd/runtimes/python/loader.h"
#include "workerd/runtimes/python/stacks.h"

namespace corn::asgi {
namespace {

using python::Ref;

const char* name_of(base::AsgiLoop loop) {
  switch (loop) {
    case base::AsgiLoop::kAuto:
      return "auto";
    case base::AsgiLoop::kAsyncio:
      return "asyncio";
    case base::AsgiLoop::kUvloop:
      return "uvloop";
  }
  return "auto";
}

const char* name_of(base::AsgiLifespan lifespan) {
  switch (lifespan) {
    case base::AsgiLifespan::kAuto:
      return "auto";
    case base::AsgiLifespan::kOn:
      return "on";
    case base::AsgiLifespan::kOff:
      return "off";
  }
  return "auto";
}

// All functions but run() and the destructor with the interpreter's lock, on the loop's thread.
class AsgiApplication final : public app::AsyncApplication, private app::HostLoop {
 public:
  explicit AsgiApplication(const base::WorkerConfig& config)
      : context_(std::make_shared<Context>(config)) {}

  ~AsgiApplication() override {
    const python::GilHold hold;
    close();
    context_.reset();
    for (Ref* ref : {&host_, &stop_, &call_soon_, &turn_, &turn_by_timer_, &turn_soon_, &timer_}) {
      *ref = Ref();
    }
  }

  // False with an exception set on failure; host.py's Failure is one for the operator.
  bool make_loop();
  // What the application raises is set as the exception.
  bool start(Ref callable);
  // What the host's class Failure says, or the traceback of anything else.
  [[nodiscard]] std::string reason_of_failure() const;

  // app::AsyncApplication
  void begin(app::AsyncExchange& exchange) override {
    if (exchange.asks_for_websocket()) {
      Call::begin<WebSocketCall>(context_, exchange);
    } else {
      Call::begin<HttpCall>(context_, exchange);
    }
  }
  app::HostLoop* host_loop() override { return this; }
  void dump_stacks(int fd) override { python::dump_stacks(fd); }

 private:
  // app::HostLoop
  void run(app::EngineLoop& engine) override;
  void turn_within(base::Duration delay) override;

  bool prepare_to_serve();
  void serve();
  void finish(bool cut);
  void close();
  void turn();
  Ref callback(PyMethodDef& definition);

  static AsgiApplication& of(PyObject* capsule) {
    return *static_cast<AsgiApplication*>(PyCapsule_GetPointer(capsule, nullptr));
  }

  std::shared_ptr<Context> context_;
  Ref host_;  // host.py's Host
  Ref stop_;
  Ref call_soon_;
  Ref turn_;
  Ref turn_by_timer_;
  Ref turn_soon_;
  Ref timer_;  // asyncio's handle, while it is set
  base::TimePoint timer_at_;
  bool soon_ = false;                  // the next turn is to be called by the loop at once
  app::EngineLoop* engine_ = nullptr;  // while it is to be turned
};

bool AsgiApplication::make_loop() {
  const Ref type = python::run_embedded(kHostSource, "<corn asgi>", "Host");
  if (!type) return false;
  host_ = Ref::steal(PyObject_CallFunction(type.get(), "s", name_of(context_->config.asgi_loop)));
  const Ref loop = host_ ? Ref::steal(PyObject_GetAttrString(host_.get(), "loop")) : Ref();
  return loop && context_->use(loop.get()) && make_awaitable_types() && Call::make_types();
}

bool AsgiApplication::start(Ref callable) {
  context_->application = std::move(callable);
  const bool serves = context_->config.role == base::WorkerRole::kServe;
  Ref state = Ref::borrow(Py_None);
  if (serves) {
    state = Ref::steal(PyObject_CallMethod(host_.get(), "start", "Os", context_->application.get(),
                                           name_of(context_->config.asgi_lifespan)));
    if (!state) return false;
  }
  context_->hooks = python::RequestHooks::find();
  context_->scopes = std::make_unique<ScopeBuilder>(context_->config, std::move(state));
  return true;
}

std::string AsgiApplication::reason_of_failure() const {
  PyObject* type = PyErr_Occurred();
  const bool for_operator =
      type != nullptr && PyType_Check(type) &&
      std::string_view(reinterpret_cast<PyTypeObject*>(type)->tp_name) == "Failure";
  python::ExceptionText text = python::take_exception();
  if (!for_operator) return "the application failed while it was started\n" + text.text;
  const auto colon = text.summary.find(": ");
  return colon == std::string::npos ? text.summary : text.summary.substr(colon + 2);
}

// ---- the loop ----

Ref AsgiApplication::callback(PyMethodDef& definition) {
  const Ref self = Ref::steal(PyCapsule_New(this, nullptr, nullptr));
  return self ? Ref::steal(PyCFunction_New(&definition, self.get())) : Ref();
}

bool AsgiApplication::prepare_to_serve() {
  static PyMethodDef turn_method = {"turn",
                                    [](PyObject* self, PyObject* /*unused*/) -> PyObject* {
                                      of(self).turn();
                                      Py_RETURN_NONE;
                                    },
                                    METH_NOARGS, nullptr};
  static PyMethodDef timer_method = {"turn_by_timer",
                                     [](PyObject* self, PyObject* /*unused*/) -> PyObject* {
                                       of(self).timer_ = Ref();
                                       of(self).turn();
                                       Py_RETURN_NONE;
                                     },
                                     METH_NOARGS, nullptr};
  static PyMethodDef soon_method = {"turn_soon",
                                    [](PyObject* self, PyObject* /*unused*/) -> PyObject* {
                                      of(self).soon_ = false;
                                      of(self).turn();
                                      Py_RETURN_NONE;
                                    },
                                    METH_NOARGS, nullptr};
  turn_ = callback(turn_method);
  turn_by_timer_ = callback(timer_method);
  turn_soon_ = callback(soon_method);
  stop_ = Ref::steal(PyObject_GetAttrString(context_->loop.get(), "stop"));
  call_soon_ = Ref::steal(PyObject_GetAttrString(context_->loop.get(), "call_soon"));
  return turn_ && turn_by_timer_ && turn_soon_ && stop_ && call_soon_;
}

void AsgiApplication::run(app::EngineLoop& engine) {
  const python::GilHold hold;
  engine_ = &engine;
  serve();
  const bool cut = std::any_of(context_->calls.begin(), context_->calls.end(),
                               [](const Call* call) { return call->in_flight(); });
  finish(cut);
  close();
}

void AsgiApplication::serve() {
  if (prepare_to_serve() && Ref::steal(PyObject_CallMethod(host_.get(), "serve", "iO",
                                                           engine_->descriptor(), turn_.get()))) {
    return;
  }
  engine_ = nullptr;
  base::log_critical("The event loop failed:\n{}", python::take_exception().text);
}

void AsgiApplication::turn() {
  if (engine_ == nullptr) return;
  const auto next = engine_->turn();
  if (engine_->done()) {
    engine_ = nullptr;  // a second stop would end what the loop runs next
    std::ignore = Ref::steal(PyObject_CallNoArgs(stop_.get()));
  } else if (next) {
    turn_within(*next);
  }
  if (PyErr_Occurred() != nullptr) {
    base::log_error("The event loop failed:\n{}", python::take_exception().text);
  }
}

void AsgiApplication::turn_within(base::Duration delay) {
  if (engine_ == nullptr) return;
  if (delay <= base::Duration::zero()) {
    if (soon_) return;
    soon_ = static_cast<bool>(Ref::steal(PyObject_CallOneArg(call_soon_.get(), turn_soon_.get())));
    return;
  }
  const base::TimePoint at = std::chrono::steady_clock::now() + delay;
  if (timer_ && timer_at_ <= at) return;
  if (timer_) {
    std::ignore = Ref::steal(PyObject_CallMethodNoArgs(timer_.get(), context_->names.cancel.get()));
  }
  const std::chrono::duration<double> seconds = delay;
  timer_ = Ref::steal(PyObject_CallFunction(context_->call_later.get(), "dO", seconds.count(),
                                            turn_by_timer_.get()));
  timer_at_ = at;
}

// Requests that were cut off have had their time. What else still runs, after its answer, has as
// much as a worker that is to go gives.
void AsgiApplication::finish(bool cut) {
  const Ref tasks = Ref::steal(PyList_New(0));
  for (const Call* call : context_->calls) {
    if (tasks && call->task() != nullptr) PyList_Append(tasks.get(), call->task());
  }
  const std::chrono::duration<double> patience =
      cut ? base::Milliseconds(0) : context_->config.graceful_timeout;
  const Ref problem = tasks ? Ref::steal(PyObject_CallMethod(host_.get(), "finish", "Od",
                                                             tasks.get(), patience.count()))
                            : Ref();
  if (!problem) {
    base::log_error("The application failed at its end:\n{}", python::take_exception().text);
  } else if (problem.get() != Py_None) {
    base::log_error("The application's shutdown failed: {}", python::to_text(problem.get()));
  }
}

void AsgiApplication::close() {
  if (!host_) return;
  const Ref closed = Ref::steal(PyObject_CallMethod(host_.get(), "close", nullptr));
  if (!closed) {
    base::log_error("The event loop failed at its end:\n{}", python::take_exception().text);
  }
  host_ = Ref();
}

}  // namespace

tl::expected<std::unique_ptr<app::Application>, app::LoadError> load(
    const base::WorkerConfig& config) {
  std::optional<app::LoadError> error;
  auto application = std::make_unique<AsgiApplication>(config);
  {
    const python::GilHold hold;
    if (!application->make_loop()) {
      error = {base::BootFailure::kWorker, application->reason_of_failure()};
    } else if (auto callable = python::load_callable(config.application, "asgi"); !callable) {
      error = std::move(callable.error());
    } else if (!application->start(std::move(*callable))) {
      error = {base::BootFailure::kApplication, application->reason_of_failure()};
    }
  }
  if (error) return tl::unexpected(*std::move(error));
  return application;
}

}  // namespace corn::asgi
