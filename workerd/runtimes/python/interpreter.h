// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/worker_config.h"

namespace corn::python {

struct InterpreterOptions {
  std::string working_directory;         // first on sys.path; empty: not put there
  std::vector<std::string> python_path;  // follow it
  std::string virtual_env;               // directory of a virtual environment; empty: none
  std::string program = "arbiterd";      // sys.argv[0]: what the operator has started
  int fault_descriptor = -1;   // where a crash of C code shows the Python stacks; -1: nowhere
  bool fault_records = false;  // not there but as an entry of the error log, which is JSON

  static InterpreterOptions from(const base::WorkerConfig& config);
};

// CPython, embedded, configured as the python3 program would be: environment variables (PYTHONPATH,
// PYTHONWARNINGS, ...), site-packages and virtual environments count. Python installs no signal
// handlers of its own. What an application prints is written at every end of line, so that a killed
// worker loses none.
//
// At most one exists in a process, made and destroyed on the same thread. start() returns without
// the interpreter's lock held; use GilHold.
class Interpreter {
 public:
  // Fails when the virtual environment is unusable or Python can't start.
  static base::Result<std::unique_ptr<Interpreter>> start(const InterpreterOptions& options);

  // In a child by fork(2) of a process that had one. `fault_descriptor` and `fault_records` count
  // if it shows no faults yet: in the child of a script, whose Python was not started here.
  static base::Result<std::unique_ptr<Interpreter>> adopt(const InterpreterOptions& options);

  // Waits for threads the application started (daemon threads excepted), runs atexit handlers,
  // flushes stdout and stderr. May wait for as long as those threads like; the caller sets a limit.
  ~Interpreter();

  // Whether there are such threads.
  [[nodiscard]] static bool would_wait();
  // Does all that but for waiting, for a process that leaves by _exit(2) then.
  static void finish_without_threads();

  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;

 private:
  Interpreter() = default;
};

}  // namespace corn::python
