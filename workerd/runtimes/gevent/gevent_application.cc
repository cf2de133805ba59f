// SPDX-License-Identifier: Apache-2.0
#include "workerd/runtimes/gevent/gevent_application.h"

#include <string>
#include <utility>

#include "workerd/runtimes/gevent/gevent_loop.h"
#include "workerd/runtimes/gevent/host_source.h"
#include "workerd/runtimes/python/embedded_sources.h"
#include "workerd/runtimes/python/exception.h"
#include "workerd/runtimes/python/gil.h"

namespace corn::gevent {
namespace {

// The class Host of host.py, once the library is patched; as long as the process.
PyObject* host_type = nullptr;

// An application of another runtime, and the loop that it is called on.
class HubApplication final : public app::Application {
 public:
  HubApplication(std::unique_ptr<app::Application> served, PyObject* type)
      : served_(std::move(served)), loop_(type) {}

  void thread_started() override { served_->thread_started(); }
  void thread_stopping() override { served_->thread_stopping(); }
  void handle(app::Request& request, app::Responder& responder) override {
    served_->handle(request, responder);
  }
  void dump_stacks(int fd) override { served_->dump_stacks(fd); }
  app::HostLoop* host_loop() override { return &loop_; }
  app::Strands* strands() override { return &loop_; }

 private:
  std::unique_ptr<app::Application> served_;
  GeventLoop loop_;
};

}  // namespace

tl::expected<void, app::LoadError> patch() {
  if (host_type != nullptr) return {};
  const python::GilHold hold;
  host_type = python::run_embedded(kHostSource, "<corn gevent host>", "Host").release();
  if (host_type != nullptr) return {};
  const bool missing = PyErr_ExceptionMatches(PyExc_ImportError) != 0;
  const python::ExceptionText why = python::take_exception();
  return tl::unexpected(app::LoadError{
      base::BootFailure::kWorker,
      missing ? "the worker class gevent needs the Python package gevent, which cannot be imported "
                "(" +
                    why.summary +
                    "); install python3-gevent, or into the application's virtual environment with "
                    "'pip install gevent'"
              : "gevent cannot be set up: " + why.text});
}

std::unique_ptr<app::Application> on_greenlets(std::unique_ptr<app::Application> application) {
  return std::make_unique<HubApplication>(std::move(application), host_type);
}

}  // namespace corn::gevent
