// SPDX-License-Identifier: Apache-2.0
#include "workerd/process/script.h"

#include <sys/prctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/message.h"
#include "workerd/process/child.h"
#include "workerd/process/fork.h"
#include "workerd/process/fork_loop.h"
#include "workerd/runtimes/python/gil.h"
#include "workerd/runtimes/python/hooks.h"

namespace corn::process {
namespace {

class Script {
 public:
  Script(base::UniqueFd channel, PyObject* application)
      : channel_(std::move(channel)), application_(application) {}

  int run() {
    tell(channel_, base::Hello{::getpid(), CORN_VERSION});
    const ForkLoop loop{
        .fork =
            [this](const base::Fork& order, std::vector<base::UniqueFd> descriptors) {
              fork(order, std::move(descriptors));
            },
        .run_hook = nullptr,
        .reopen_logs = [](const link::OpenFiles&) {}};
    return loop.run(channel_, 1);
  }

 private:
  void fork(const base::Fork& order, std::vector<base::UniqueFd> descriptors) {
    if (descriptors.empty()) {
      tell(channel_, base::ForkFailed{order.token, "the order to fork came without a channel"});
      return;
    }
    std::fflush(nullptr);
    const auto pid = fork_sibling(arbiter_);
    if (!pid) {
      tell(channel_, base::ForkFailed{order.token, pid.error().message});
    } else if (*pid > 0) {
      tell(channel_, base::Forked{order.token, *pid});
    } else {
      // Exit handlers of C libraries are the script's as well.
      const int status = live_as_child(order, std::move(descriptors));
      std::fflush(nullptr);
      ::_exit(status);
    }
  }

  int live_as_child(const base::Fork& order, std::vector<base::UniqueFd> descriptors) {
    channel_ = base::Channel();
    signals_.restore();
    allow_signals();
    ::prctl(PR_SET_NAME, "workerd");
    Inheritance inheritance;
    inheritance.forked = true;
    inheritance.script = application_;
    base::Status ready = python::forget_inherited_exit_handlers();
    if (ready) ready = settle(order);
    if (!ready) inheritance.failure = ready.error().message;
    return run_child(std::move(descriptors.front()), std::move(inheritance));
  }

  const pid_t arbiter_ = ::getppid();
  base::Channel channel_;
  PyObject* application_;
  QuietSignals signals_;
};

}  // namespace

int serve_script(base::UniqueFd channel, PyObject* application) {
  PyThreadState* state = PyEval_SaveThread();
  python::adopt_thread_state(state);
  const int status = Script(std::move(channel), application).run();
  PyEval_RestoreThread(state);
  python::adopt_thread_state(nullptr);
  return status;
}

}  // namespace corn::process
