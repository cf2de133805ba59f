// SPDX-License-Identifier: Apache-2.0
// The server hooks of a configuration (gunicorn's), and the objects they are called with. See
// hooks.py, which this is the door to.
//
// base::RunHook::arguments is a JSON object with, where the hook takes them:
//   workers      [[pid, age], ...]: all live workers of the instance, as server.WORKERS shows them
//   worker       [pid, age, exit code or null]: whose end child_exit is told
//   new, old     nworkers_changed: numbers, old null at first
//   pid          the arbiter's
//   num_workers
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/worker_config.h"
#include "workerd/runtimes/python/object.h"

namespace corn::python {

// Made in a template and inherited by the workers forked from it; at most one in a process. Lives
// as long as the process. Functions that can fail give why: a sentence, then the traceback.
// Without the interpreter's lock, unless it is said.
class Hooks {
 public:
  // Evaluates the configuration anew: config.config_file, or with `script`, an application of the
  // Python API, its load_config(). What it defines stays for the hooks.
  static base::Result<Hooks*> make(const base::WorkerConfig& config, PyObject* script);
  // Null in a process that has none. With or without the lock.
  static Hooks* current();

  Hooks(const Hooks&) = delete;
  Hooks& operator=(const Hooks&) = delete;

  [[nodiscard]] bool is_set(std::string_view name) const { return names_.contains(name); }

  // In a template. An empty text: it returned, or isn't set.
  std::string run(const std::string& name, const std::string& arguments);
  // pre_fork, for a new worker; then forked() or become_worker(), which calls post_fork.
  std::string before_fork(std::uint32_t age);
  void forked(pid_t pid);
  std::string become_worker();

  // In a worker.
  std::string post_worker_init();
  // Once; nothing if end_worker() has begun it.
  std::string worker_exit();
  // Those of worker_int, worker_abort and worker_exit that are named, in that order on a thread of
  // their own, waited for at most `limit` in all. The text says what has become of those that did
  // not return in time, or raised.
  std::string end_worker(const std::vector<std::string>& names, base::Duration limit);

  // Around a request; with the lock. `request` and `response` are what the hooks get to see. False
  // with an exception set: pre_request has raised it.
  bool pre_request(PyObject* request);
  // Logs what the hook raises.
  void post_request(PyObject* request, PyObject* environ, PyObject* response);

 private:
  explicit Hooks(Ref object, std::set<std::string, std::less<>> names)
      : object_(std::move(object)), names_(std::move(names)) {}
  // With the lock.
  std::string text_of(const Ref& result) const;
  std::string call_at_end(const std::string& name);

  const Ref object_;
  const std::set<std::string, std::less<>> names_;
  std::atomic<bool> exit_begun_{false};
};

// Puts "NAME=VALUE" into os.environ, and so into the process's environment.
base::Status set_environment(const std::vector<std::string>& variables);

// Drops the exit handlers of the process that this one was forked from, except those of the
// standard library that serve whatever is made from here on.
base::Status forget_inherited_exit_handlers();

// Asks the WSGI application that is loaded (loader.h) for `path`. Fails with what it raised.
base::Status warm_up(const std::string& path);

}  // namespace corn::python
