// SPDX-License-Identifier: Apache-2.0
#include "workerd/runtimes/python/code_files.h"

#include <Python.h>
#include <pthread.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <utility>

#include "workerd/runtimes/python/gil.h"
#include "workerd/runtimes/python/object.h"

namespace corn::python {
namespace {

namespace fs = std::filesystem;

// Templates and the like are compiled to Python code too, under their own names; whoever compiles
// them looks after them.
bool is_code(std::string_view name) {
  return name.ends_with(".py") || name.ends_with(".pyw") || name.ends_with(".so");
}

// The file itself, or the archive it is in; empty where there is neither.
std::string file_of(const char* name) {
  std::error_code error;
  fs::path path = fs::absolute(name, error).lexically_normal();
  if (error) return {};
  if (fs::exists(path, error)) return path.string();
  for (fs::path above = path.parent_path(); above != above.root_path();
       above = above.parent_path()) {
    if (fs::is_regular_file(above, error)) return above.string();
    if (fs::exists(above, error)) break;
  }
  return path.string();
}

// Audit events (PEP 578): every code object that is run by an import, or by exec(); every source
// that is compiled; every extension module that is loaded.
int on_audit(const char* event, PyObject* arguments, void* files) {
  PyObject* name = nullptr;
  if (std::strcmp(event, "exec") == 0 && PyTuple_GET_SIZE(arguments) > 0) {
    PyObject* code = PyTuple_GET_ITEM(arguments, 0);
    if (PyCode_Check(code)) name = reinterpret_cast<PyCodeObject*>(code)->co_filename;
  } else if ((std::strcmp(event, "compile") == 0 || std::strcmp(event, "import") == 0) &&
             PyTuple_GET_SIZE(arguments) > 1) {
    name = PyTuple_GET_ITEM(arguments, 1);
  }
  if (name == nullptr || !PyUnicode_Check(name)) return 0;
  PyObject* type = nullptr;
  PyObject* value = nullptr;
  PyObject* traceback = nullptr;
  PyErr_Fetch(&type, &value, &traceback);
  if (const char* text = PyUnicode_AsUTF8(name)) static_cast<CodeFiles*>(files)->note(text);
  PyErr_Restore(type, value, traceback);
  return 0;
}

// What was loaded before anybody noted it.
void note_modules(CodeFiles& files) {
  PyObject* modules = PyImport_GetModuleDict();
  Py_ssize_t position = 0;
  PyObject* name = nullptr;
  PyObject* module = nullptr;
  while (PyDict_Next(modules, &position, &name, &module) != 0) {
    if (!PyModule_Check(module)) continue;
    PyObject* file = PyDict_GetItemString(PyModule_GetDict(module), "__file__");
    if (file != nullptr) files.note(to_text(file).c_str());
  }
}

CodeFiles* instance = nullptr;

}  // namespace

CodeFiles* CodeFiles::current() { return instance; }

void CodeFiles::record() {
  if (instance != nullptr) return;
  instance = new CodeFiles;  // audit hooks can't be taken back
  if (Py_IsInitialized() == 0) {
    PySys_AddAuditHook(&on_audit, instance);
    return;
  }
  const GilHold hold;
  PySys_AddAuditHook(&on_audit, instance);
  note_modules(*instance);
}

void CodeFiles::note(const char* name) {
  if (!is_code(name)) return;
  {
    const std::lock_guard lock(mutex_);
    if (seen_.size() >= kMaxFiles || !seen_.insert(name).second) return;
    std::string path = file_of(name);
    if (path.empty() || !known_.insert(path).second) return;
    waiting_.push_back(std::move(path));
  }
  changed_.notify_all();
}

void CodeFiles::tell_now(const Report& report) {
  std::vector<std::string> paths;
  {
    const std::lock_guard lock(mutex_);
    paths.swap(waiting_);
  }
  if (!paths.empty()) report(std::move(paths));
}

void CodeFiles::tell_always(Report report) {
  // Signals are for other threads.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this, report = std::move(report)] { run(report); });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void CodeFiles::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void CodeFiles::run(const Report& report) {
  ::pthread_setname_np(::pthread_self(), "corn-files");
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
    if (changed_.wait_for(lock, kGatherTime, [this] { return stopping_; })) return;
    lock.unlock();
    tell_now(report);
    lock.lock();
  }
}

}  // namespace corn::python
