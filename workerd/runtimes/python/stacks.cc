// SPDX-License-Identifier: Apache-2.0
#include "workerd/runtimes/python/stacks.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "base/unique_fd.h"

// Exported by libpython and used by its faulthandler module, declared in an internal header only
// (CPython 3.11, pycore_traceback.h): async-signal-safe.
extern "C" const char* _Py_DumpTracebackThreads(  // NOLINT(bugprone-reserved-identifier)
    int fd, PyInterpreterState* interp, PyThreadState* current_tstate);
// The same for one thread: a line of heading, then its frames.
extern "C" void _Py_DumpTraceback(  // NOLINT(bugprone-reserved-identifier)
    int fd, PyThreadState* tstate);

namespace corn::python {
namespace {

std::atomic<PyInterpreterState*> dumpable{nullptr};

// Guarded by the interpreter's lock.
std::uint32_t idle_thread = 0;
std::string (*write_idle)() = nullptr;

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

// How often a collector looks who has the lock.
constexpr base::Milliseconds kGlance{10};
// Beyond a worker's most application threads; a list that was changed under a reader's eyes must
// not be followed for ever.
constexpr std::size_t kMostThreads = 1100;

// Where each thread's text ends in the file. Made before the stacks are read: a hung thread may
// hold the allocator's lock.
struct Collection {
  struct Part {
    std::uint32_t thread_id = 0;
    off_t end = 0;
  };
  base::UniqueFd file;
  std::vector<Part> parts;
  std::string idle;  // to be shown below idle_thread's
  std::uint32_t idle_below = 0;
};

Collection prepare_collection() {
  Collection collection;
  collection.file = base::UniqueFd(::memfd_create("stacks", MFD_CLOEXEC));
  collection.parts.reserve(kMostThreads);
  return collection;
}

// `except`: the thread that stands in for the caller.
void collect(Collection& to, const PyThreadState* except) {
  PyInterpreterState* interpreter = dumpable.load();
  if (interpreter == nullptr) return;
  for (PyThreadState* state = PyInterpreterState_ThreadHead(interpreter);
       state != nullptr && to.parts.size() < kMostThreads; state = PyThreadState_Next(state)) {
    if (state == except) continue;
    _Py_DumpTraceback(to.file.get(), state);
    to.parts.push_back(
        {static_cast<std::uint32_t>(state->native_thread_id), ::lseek(to.file.get(), 0, SEEK_CUR)});
  }
}

// Long stacks are shortened so that all of them fit into one message.
void fit(std::vector<base::ThreadStack>& threads) {
  const auto total = [&](std::size_t share) {
    std::size_t sum = 0;
    for (const base::ThreadStack& thread : threads) sum += std::min(thread.python.size(), share);
    return sum;
  };
  std::size_t share = base::kMaxTextBytes;
  while (total(share) > base::kMaxTextBytes) share = share * 3 / 4;
  for (base::ThreadStack& thread : threads) {
    if (thread.python.size() > share) thread.python = base::shorten_middle(thread.python, share);
  }
}

base::DumpResult read_collection(const Collection& from) {
  base::DumpResult result;
  off_t start = 0;
  for (const Collection::Part& part : from.parts) {
    std::string text(static_cast<std::size_t>(std::max<off_t>(part.end - start, 0)), '\0');
    const ssize_t n = ::pread(from.file.get(), text.data(), text.size(), start);
    text.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    start = part.end;
    text.erase(0, text.find('\n') + 1);  // the heading, the same for every thread
    while (!text.empty() && text.back() == '\n') text.pop_back();
    if (part.thread_id == from.idle_below && !from.idle.empty()) text += "\n" + from.idle;
    if (!text.empty()) result.threads.push_back({part.thread_id, std::move(text)});
  }
  fit(result.threads);
  return result;
}

base::DumpResult without_stacks(std::string why) {
  base::DumpResult result;
  result.text = std::move(why);
  return result;
}

// Between a collector and the thread that knocks at the interpreter's door for it. There is one
// such thread at the most: one that a hung worker keeps waiting serves a later collector too.
struct Knocker {
  std::mutex mutex;
  std::condition_variable changed;
  bool knocking = false;
  Collection* wanted = nullptr;  // to be filled; nullptr: nobody waits
};

// Shared with its thread, which may outlive everything else.
const std::shared_ptr<Knocker>& knocker() {
  static const auto shared = std::make_shared<Knocker>();
  return shared;
}

// The interpreter's lock is held before the mutex is taken, and kept meanwhile: should the thread
// that hung come back while its stack is read without the lock, it soon has to give the lock to
// this one, and stands still until that is done.
void knock_for(const std::shared_ptr<Knocker>& shared) {
  // Otherwise the dump that it is made for shows it under the name of the thread that asks.
  ::pthread_setname_np(::pthread_self(), "corn-knocker");
  const PyGILState_STATE state = PyGILState_Ensure();
  // Python code, which may lose the interpreter's lock: nobody must wait for the mutex meanwhile.
  std::string idle = write_idle != nullptr ? write_idle() : std::string();
  {
    const std::lock_guard lock(shared->mutex);
    if (shared->wanted != nullptr) {
      collect(*shared->wanted, PyThreadState_Get());
      shared->wanted->idle = std::move(idle);
      shared->wanted->idle_below = idle_thread;
    }
    shared->wanted = nullptr;
    shared->knocking = false;
    shared->changed.notify_all();
  }
  PyGILState_Release(state);
}

}  // namespace

base::DumpResult collect_stacks(base::Duration still, base::Duration limit) {
  if (dumpable.load() == nullptr) return without_stacks("no Python stacks: Python is not up");
  Collection collection = prepare_collection();
  if (!collection.file) {
    return without_stacks(std::string("no Python stacks: no memory file: ") + std::strerror(errno));
  }
  const std::shared_ptr<Knocker>& shared = knocker();
  std::unique_lock lock(shared->mutex);
  if (!shared->knocking) {
    try {
      std::thread([shared] { knock_for(shared); }).detach();
    } catch (const std::system_error& error) {
      return without_stacks(std::string("no Python stacks: no thread to be had: ") + error.what());
    }
    shared->knocking = true;
  }
  shared->wanted = &collection;
  const auto now = [] { return base::MonotonicClock().now(); };
  const base::TimePoint begin = now();
  // In CPython 3.11 the thread that has the lock is known to the whole process.
  const PyThreadState* holder = nullptr;
  base::TimePoint held_since = begin;
  while (!shared->changed.wait_for(lock, kGlance, [&] { return shared->wanted == nullptr; })) {
    const base::TimePoint time = now();
    if (const PyThreadState* found = _PyThreadState_UncheckedGet(); found != holder) {
      holder = found;
      held_since = time;
    }
    const bool hangs = holder != nullptr && time - held_since >= still;
    if (!hangs && time - begin < limit) continue;
    shared->wanted = nullptr;
    if (hangs) {
      collect(collection, nullptr);
      break;
    }
    return without_stacks(
        "no Python stacks: the interpreter's lock could not be had in time, though threads do take "
        "turns; try again");
  }
  lock.unlock();
  return read_collection(collection);
}

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

void show_idle_stacks(std::uint32_t thread_id, std::string (*write)()) {
  idle_thread = thread_id;
  write_idle = write;
}

void allow_stack_dumps(PyInterpreterState* interpreter) { dumpable = interpreter; }

void forbid_stack_dumps() { dumpable = nullptr; }

}  // namespace corn::python
