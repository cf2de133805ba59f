// SPDX-License-Identifier: Apache-2.0
#include "workerd/runtimes/python/stacks.h"

#include <fcntl.h>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>

#include "base/unique_fd.h"

// Exported by libpython and used by its faulthandler module, declared in an internal header only
// (CPython 3.11, pycore_traceback.h): async-signal-safe.
extern "C" const char* _Py_DumpTracebackThreads(  // NOLINT(bugprone-reserved-identifier)
    int fd, PyInterpreterState* interp, PyThreadState* current_tstate);

namespace corn::python {
namespace {

std::atomic<PyInterpreterState*> dumpable{nullptr};

// Shared by the caller and the thread that knocks at the interpreter's door, which may outlive the
// call.
struct Knock {
  std::mutex mutex;
  std::condition_variable changed;
  base::UniqueFd fd;
  bool gave_up = false;  // the lock came too late; whoever gets it then has nothing to do
  bool finished = false;
};

void knock(const std::shared_ptr<Knock>& shared) {
  const PyGILState_STATE state = PyGILState_Ensure();
  std::unique_lock lock(shared->mutex);
  if (!shared->gave_up) {
    dump_stacks(shared->fd.get());
    shared->finished = true;
    shared->changed.notify_all();
  }
  lock.unlock();
  PyGILState_Release(state);
}

}  // namespace

void dump_stacks(int fd) {
  PyInterpreterState* interpreter = dumpable.load();
  if (interpreter != nullptr) _Py_DumpTracebackThreads(fd, interpreter, nullptr);
}

void dump_stacks_carefully(int fd, base::Duration wait) {
  if (dumpable.load() == nullptr) return;
  auto shared = std::make_shared<Knock>();
  shared->fd = base::UniqueFd(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (shared->fd) {
    try {
      std::thread([shared] { knock(shared); }).detach();
      std::unique_lock lock(shared->mutex);
      if (shared->changed.wait_for(lock, wait, [&] { return shared->finished; })) return;
      shared->gave_up = true;
    } catch (const std::system_error&) {
      // No thread to be had; what can be shown without the lock is better than nothing.
    }
  }
  dump_stacks(fd);
}

void allow_stack_dumps(PyInterpreterState* interpreter) { dumpable = interpreter; }

void forbid_stack_dumps() { dumpable = nullptr; }

}  // namespace corn::python
