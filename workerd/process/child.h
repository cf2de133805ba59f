// SPDX-License-Identifier: Apache-2.0
// One child of arbiterd: from its channel, in which a Configure waits, to its exit status.
#pragma once

#include <Python.h>

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "base/worker_config.h"
#include "workerd/runtimes/python/interpreter.h"

namespace corn::process {

// What a child has got from the process that it was forked from. One that was started by exec(2)
// has its descriptors at the numbers of base/worker_config.h, and nothing else.
struct Inheritance {
  bool forked = false;
  std::vector<base::UniqueFd> descriptors;  // of a worker: all but its channel, in that order
  std::unique_ptr<python::Interpreter> interpreter;  // null: of a script, which had its own
  PyObject* script = nullptr;  // the application of the Python API that it is forked from; borrowed
  bool log_is_open = false;
  std::string failure;  // why it can't do what it is for; arbiterd is told
};

// Reads what the process is to do, brings it up to that, does it, and takes it down in order. Main
// thread, before other threads.
int run_child(base::UniqueFd channel, Inheritance inheritance = {});

// ---- steps of that, for every role ----

// Title, log, working directory; fails with what a forked process has failed at before.
// `error_log`: its file is open already.
base::Status prepare_process(const base::WorkerConfig& config, const Inheritance& inheritance,
                             base::UniqueFd error_log = {});
base::Result<std::unique_ptr<python::Interpreter>> bring_up_python(const base::WorkerConfig& config,
                                                                   Inheritance& inheritance);

}  // namespace corn::process
