// SPDX-License-Identifier: Apache-2.0
// gevent's hub as the engine's host loop, its greenlets as strands.
#pragma once

#include <optional>
#include <vector>

#include "base/clock.h"
#include "workerd/app/strands.h"
#include "workerd/runtimes/python/object.h"

namespace corn::gevent {

class GeventLoop final : public app::Strands {
 public:
  // `host_type`: the class Host of host.py, which lives as long as the process.
  explicit GeventLoop(PyObject* host_type) : host_type_(host_type) {}
  ~GeventLoop() override;

  // app::HostLoop
  void run(app::EngineLoop& engine) override;
  void turn_within(base::Duration delay) override;

  // app::Strands
  void start(app::StrandTask& task) override { starting_.push_back(&task); }
  bool pause(app::StrandTask& task) override;
  void wake(app::StrandTask& task) override { woken_.push_back(&task); }

 private:
  static PyObject* call_turn(PyObject* self, PyObject* arguments);
  static PyObject* call_task(PyObject* self, PyObject* task);

  // With the interpreter's lock, on the hub's greenlet.
  void turn();
  // With the interpreter's lock: calls a method of the host. False, logged, when it raises.
  bool tell(const char* method, PyObject* argument);
  void plan(base::Duration delay);

  PyObject* const host_type_;
  python::Ref host_;  // while run() runs
  app::EngineLoop* engine_ = nullptr;
  bool over_ = false;
  std::optional<base::TimePoint> timer_;  // when the host's timer calls turn()
  std::vector<app::StrandTask*> starting_;
  std::vector<app::StrandTask*> woken_;
};

}  // namespace corn::gevent
