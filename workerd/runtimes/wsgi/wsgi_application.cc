// SPDX-License-Identifier: Apache-2.0
#include "workerd/runtimes/wsgi/wsgi_application.h"

#include <fmt/core.h>

#include <optional>
#include <utility>
#include <vector>

#include "base/log.h"
#include "workerd/runtimes/python/exception.h"
#include "workerd/runtimes/python/gil.h"
#include "workerd/runtimes/python/loader.h"
#include "workerd/runtimes/python/request_hooks.h"
#include "workerd/runtimes/python/stacks.h"
#include "workerd/runtimes/wsgi/environ.h"
#include "workerd/runtimes/wsgi/error_stream.h"
#include "workerd/runtimes/wsgi/exchange.h"
#include "workerd/runtimes/wsgi/file_wrapper.h"
#include "workerd/runtimes/wsgi/input.h"
#include "workerd/runtimes/wsgi/log_variables.h"
#include "workerd/runtimes/wsgi/response.h"
#include "workerd/runtimes/wsgi/socket.h"
#include "workerd/runtimes/wsgi/start_response.h"

namespace corn::wsgi {
namespace {

using python::Ref;

// The objects of a request that can serve the next one too, if the application has not kept them.
struct Handles {
  Ref input;
  Ref start_response;
  Ref write;
  Ref early_hints;
  Ref socket;

  explicit operator bool() const {
    return input && start_response && write && early_hints && socket;
  }
};

class WsgiApplication final : public app::Application {
 public:
  // With the interpreter's lock.
  WsgiApplication(const base::WorkerConfig& config, Ref errors, Ref file_wrapper)
      : sendfile_(config.sendfile),
        file_wrapper_(Ref::borrow(file_wrapper.get())),
        input_type_(make_input_type()),
        start_response_type_(make_start_response_type()),
        write_type_(make_write_type()),
        early_hints_type_(make_early_hints_type()),
        socket_type_(make_socket_type()),
        environs_(
            std::make_unique<EnvironBuilder>(config, std::move(errors), std::move(file_wrapper))) {}

  ~WsgiApplication() override {
    const python::GilHold hold;
    idle_handles_.clear();
    environs_.reset();
    log_variables_.reset();
    hooks_.reset();
    for (Ref* ref : {&file_wrapper_, &input_type_, &start_response_type_, &write_type_,
                     &early_hints_type_, &socket_type_}) {
      *ref = Ref();
    }
  }

  [[nodiscard]] bool complete() const {
    return file_wrapper_ && input_type_ && start_response_type_ && write_type_ &&
           early_hints_type_ && socket_type_;
  }

  void thread_started() override { python::attach_thread(); }
  void thread_stopping() override { python::detach_thread(); }

  void handle(app::Request& request, app::Responder& responder) override {
    const python::GilHold hold;
    Handles handles = take_handles();
    if (!handles) {
      log_failure(request, "Error handling request");
      responder.fail();
      return;
    }
    const auto exchange = std::make_unique<Exchange>(
        Exchange{.request = request, .responder = responder, .write = handles.write.get()});
    bind(handles, exchange.get());
    answer(*exchange, handles);
    bind(handles, nullptr);
    flush_error_stream();
    keep_handles(std::move(handles));
  }

  void dump_stacks(int fd) override { python::dump_stacks(fd); }

 private:
  Handles take_handles() {
    if (!idle_handles_.empty()) [[likely]] {
      Handles handles = std::move(idle_handles_.back());
      idle_handles_.pop_back();
      return handles;
    }
    return {new_input(input_type_.get()), new_start_response(start_response_type_.get()),
            new_write(write_type_.get()), new_early_hints(early_hints_type_.get()),
            new_socket(socket_type_.get())};
  }

  static void bind(const Handles& handles, Exchange* exchange) {
    bind_input(handles.input.get(), exchange);
    bind_callable(handles.start_response.get(), exchange);
    bind_callable(handles.write.get(), exchange);
    bind_callable(handles.early_hints.get(), exchange);
    bind_socket(handles.socket.get(), exchange);
  }

  void keep_handles(Handles handles) {
    const auto ours_alone = [](const Ref& ref) { return Py_REFCNT(ref.get()) == 1; };
    if (ours_alone(handles.input) && ours_alone(handles.start_response) &&
        ours_alone(handles.write) && ours_alone(handles.early_hints) &&
        ours_alone(handles.socket)) {
      idle_handles_.push_back(std::move(handles));
    }
  }

  void answer(Exchange& exchange, const Handles& handles) {
    if (!hooks_) [[likely]] {
      call(exchange, handles, nullptr);
      return;
    }
    python::Answer answer;
    exchange.answer = &answer;
    const Ref request = hooks_->describe(exchange.request.head, exchange.request.connection,
                                         exchange.request.scheme, handles.input.get());
    if (!request) {
      give_up(exchange);
      return;
    }
    Ref environ;
    if (hooks_->begin(request.get())) {
      environ = call(exchange, handles, request.get());
    } else {
      give_up(exchange);
    }
    hooks_->end(request.get(), environ.get(), answer);
  }

  // Gives the environ; null when there was none. `hooked`: the request as pre_request left it, or
  // null.
  Ref call(Exchange& exchange, const Handles& handles, PyObject* hooked) {
    Ref environ = environs_->build(
        exchange.request, {handles.input.get(), handles.early_hints.get(), handles.socket.get()});
    if (!environ && environs_->path_is_foreign()) {
      refuse_foreign_path(exchange);
      return {};
    }
    Ref result;
    if (environ && (hooked == nullptr || python::RequestHooks::amend(hooked, environ.get()))) {
      PyObject* arguments[] = {nullptr, environ.get(), handles.start_response.get()};
      // Not kept here: the hook post_worker_init may have replaced it.
      result = Ref::steal(PyObject_Vectorcall(python::loaded_callable(), arguments + 1,
                                              2 | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr));
    }
    const bool sent =
        result && (exchange.handed_over ||
                   send_result(exchange, result.get(), sendfile_ ? file_wrapper_.get() : nullptr));
    if (sent) {
      const python::GilYield yield(exchange.responder.may_wait());
      exchange.responder.finish();
    } else {
      give_up(exchange);
    }
    if (PyErr_Occurred() != nullptr) log_failure(exchange.request, "Error sending the response to");
    if (result && !close_result(result.get())) {
      log_failure(exchange.request, "Error closing the response to");
    }
    if (environ) give_log_variables(environ.get(), exchange.responder);
    return environ;
  }

  void give_log_variables(PyObject* environ, app::Responder& responder) {
    const auto wanted = responder.wanted_variables();
    if (wanted.empty()) return;
    if (!log_variables_) log_variables_.emplace(wanted);
    log_variables_->give(environ, responder);
  }

  // The application failed, or the client left before it was done.
  static void give_up(Exchange& exchange) {
    const bool raised = PyErr_Occurred() != nullptr;
    const bool raised_io = raised && PyErr_ExceptionMatches(PyExc_OSError) != 0;
    std::optional<http::ProtocolError> problem;
    if (raised_io && exchange.body_broken && !exchange.client_gone) {
      problem = exchange.request.body.problem();
    }
    if (raised && exchange.handed_over && PyErr_ExceptionMatches(PyExc_StopIteration) != 0) {
      // How applications tell gunicorn that they have answered for themselves.
      PyErr_Clear();
    } else if (problem) {
      log_broken_body(exchange.request, *problem);
    } else if (raised_io && (exchange.client_gone || exchange.handed_over)) {
      // The application passed on what it was told about the connection; that is no fault of its
      // own.
      log_early_end(exchange.request);
    } else if (raised) {
      log_failure(exchange.request, "Error handling request");
    }
    const python::GilYield yield(exchange.responder.may_wait());
    if (problem) {
      exchange.responder.refuse(*problem);
    } else {
      exchange.responder.fail();
    }
  }

  // gunicorn's status too: whoever set SCRIPT_NAME sends what isn't below it.
  static void refuse_foreign_path(Exchange& exchange) {
    const http::RequestHead& head = exchange.request.head;
    base::log_error("{} {} is not passed on: {}", head.method, base::printable(head.target),
                    python::take_exception().summary);
    const python::GilYield yield(exchange.responder.may_wait());
    exchange.responder.refuse({500, "the path of the request does not start with SCRIPT_NAME"});
  }

  static void log_early_end(const app::Request& request) {
    base::log_debug("{} {} ended early: {}", request.head.method,
                    base::printable(request.head.target), python::take_exception().summary);
  }

  // As the engine logs such requests when they have not entered yet.
  static void log_broken_body(const app::Request& request, const http::ProtocolError& problem) {
    const bool client_gone = PyErr_ExceptionMatches(PyExc_BrokenPipeError) != 0;
    if (client_gone || problem.status >= 500) {
      log_early_end(request);
      return;
    }
    PyErr_Clear();
    base::log_warning("Invalid request from ip={}: {}", request.connection.remote_host,
                      problem.log_text());
  }

  static void log_failure(const app::Request& request, std::string_view what) {
    const std::string text = python::take_exception().text;
    base::log_error("{} {}\n{}", what, base::printable(request.head.target), text);
  }

  const bool sendfile_;
  Ref file_wrapper_;
  Ref input_type_;
  Ref start_response_type_;
  Ref write_type_;
  Ref early_hints_type_;
  Ref socket_type_;
  std::unique_ptr<EnvironBuilder> environs_;
  std::unique_ptr<python::RequestHooks> hooks_ = python::RequestHooks::find();
  std::optional<LogVariables> log_variables_;  // made when the first request ends
  std::vector<Handles> idle_handles_;          // guarded by the interpreter's lock, as all of it
};

}  // namespace

tl::expected<std::unique_ptr<app::Application>, app::LoadError> load(
    const base::WorkerConfig& config) {
  const python::GilHold hold;
  if (auto callable = python::load_callable(config.application, "wsgi"); !callable) {
    return tl::unexpected(std::move(callable.error()));
  }
  Ref errors = make_error_stream();
  Ref file_wrapper = make_file_wrapper_type();
  if (errors && file_wrapper) {
    auto application =
        std::make_unique<WsgiApplication>(config, std::move(errors), std::move(file_wrapper));
    if (application->complete()) return application;
    // Its destructor takes the lock, which is held here.
    const python::GilYield yield;
    application.reset();
  }
  return tl::unexpected(app::LoadError{base::BootFailure::kWorker,
                                       "WSGI cannot be set up: " + python::take_exception().text});
}

}  // namespace corn::wsgi
