// SPDX-License-Identifier: Apache-2.0
#include "workerd/runtimes/python/interpreter.h"

#include <Python.h>
#include <fmt/core.h>

#include <filesystem>
#include <fstream>

#include "workerd/runtimes/python/crash_record.h"
#include "workerd/runtimes/python/exception.h"
#include "workerd/runtimes/python/gil.h"
#include "workerd/runtimes/python/object.h"
#include "workerd/runtimes/python/stacks.h"

namespace corn::python {
namespace {

using base::Result;
using base::Status;

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

// The Python version that a pyvenv.cfg names ("3.11.2"); venv writes "version", virtualenv
// "version_info".
std::string version_of_environment(const std::filesystem::path& settings) {
  std::ifstream file(settings);
  std::string line;
  while (std::getline(file, line)) {
    const auto equals = line.find('=');
    if (equals == std::string::npos) continue;
    const auto name = trim(std::string_view(line).substr(0, equals));
    if (name == "version" || name == "version_info") {
      return std::string(trim(std::string_view(line).substr(equals + 1)));
    }
  }
  return {};
}

// The program that getpath and site take as a starting point for finding prefix and site-packages.
Result<std::string> program_of(const std::string& virtual_env) {
  if (virtual_env.empty()) return std::string(CORN_PYTHON_EXECUTABLE);
  const std::filesystem::path directory(virtual_env);
  const auto settings = directory / "pyvenv.cfg";
  const std::string version =
      std::to_string(PY_MAJOR_VERSION) + "." + std::to_string(PY_MINOR_VERSION);
  std::error_code ignored;
  if (!std::filesystem::exists(settings, ignored)) {
    return base::fail(
        fmt::format("'{}' is not a virtual environment: there is no {}; make one with "
                    "'{} -m venv {}'",
                    virtual_env, settings.string(), CORN_PYTHON_EXECUTABLE, virtual_env));
  }
  const std::string found = version_of_environment(settings);
  if (!found.empty() && found != version && !found.starts_with(version + ".")) {
    return base::fail(
        fmt::format("the virtual environment '{}' is of Python {}, but Corn runs Python {}; "
                    "make it anew with '{} -m venv --clear {}'",
                    virtual_env, found, version, CORN_PYTHON_EXECUTABLE, virtual_env));
  }
  for (const char* name : {"bin/python3", "bin/python"}) {
    if (std::filesystem::exists(directory / name, ignored)) return (directory / name).string();
  }
  return base::fail(
      fmt::format("the virtual environment '{}' has no bin/python3 that exists; make "
                  "it anew with '{} -m venv --clear {}'",
                  virtual_env, CORN_PYTHON_EXECUTABLE, virtual_env));
}

Status to_status(const PyStatus& status) {
  if (PyStatus_Exception(status) == 0) return {};
  return base::fail(fmt::format("Python cannot start: {}",
                                status.err_msg != nullptr ? status.err_msg : "it wants to exit"));
}

Status initialize(const std::string& program, const std::string& argument) {
  PyPreConfig preconfig;
  PyPreConfig_InitPythonConfig(&preconfig);
  if (auto status = to_status(Py_PreInitialize(&preconfig)); !status) return status;

  PyConfig config;
  PyConfig_InitPythonConfig(&config);
  config.parse_argv = 0;
  config.install_signal_handlers = 0;
  PyStatus status = PyConfig_SetBytesString(&config, &config.program_name, program.c_str());
  if (PyStatus_Exception(status) == 0) {
    char* arguments[] = {const_cast<char*>(argument.c_str())};  // copied, in spite of the signature
    status = PyConfig_SetBytesArgv(&config, 1, arguments);
  }
  if (PyStatus_Exception(status) == 0) status = Py_InitializeFromConfig(&config);
  PyConfig_Clear(&config);
  return to_status(status);
}

bool put_first_on_path(const InterpreterOptions& options) {
  PyObject* path = PySys_GetObject("path");
  if (path == nullptr || !PyList_Check(path)) return false;
  Py_ssize_t position = 0;
  const auto insert = [&](const std::string& directory) {
    if (directory.empty()) return true;
    const Ref entry = to_str(directory);
    return entry && PyList_Insert(path, position++, entry.get()) == 0;
  };
  if (!insert(options.working_directory)) return false;
  for (const std::string& directory : options.python_path) {
    if (!insert(directory)) return false;
  }
  return true;
}

// gunicorn sets it for applications that tell where they run by their environment.
bool name_server() {
  const Ref module = Ref::steal(PyImport_ImportModule("os"));
  const Ref environment =
      module ? Ref::steal(PyObject_GetAttrString(module.get(), "environ")) : Ref();
  return environment &&
         static_cast<bool>(Ref::steal(PyObject_CallMethod(
             environment.get(), "setdefault", "ss", "SERVER_SOFTWARE", "corn/" CORN_VERSION)));
}

// A stream is None when its descriptor was closed at the start.
bool buffer_by_line(const char* stream_name) {
  PyObject* stream = PySys_GetObject(stream_name);
  if (stream == nullptr || stream == Py_None) return true;
  const Ref reconfigure = Ref::steal(PyObject_GetAttrString(stream, "reconfigure"));
  const Ref arguments = Ref::steal(PyTuple_New(0));
  const Ref keywords = Ref::steal(Py_BuildValue("{s:O}", "line_buffering", Py_True));
  if (!reconfigure || !arguments || !keywords) return false;
  return static_cast<bool>(
      Ref::steal(PyObject_Call(reconfigure.get(), arguments.get(), keywords.get())));
}

bool show_faults_on(int descriptor) {
  if (descriptor < 0) return true;
  const Ref module = Ref::steal(PyImport_ImportModule("faulthandler"));
  return module && static_cast<bool>(
                       Ref::steal(PyObject_CallMethod(module.get(), "enable", "i", descriptor)));
}

PyObject* after_last_handler(PyObject* /*module*/, PyObject* /*unused*/) {
  forbid_stack_dumps();
  Py_RETURN_NONE;
}

// Stacks can be shown for as long as threads or atexit handlers of the application may hang, and no
// longer. atexit calls last what was registered first.
bool allow_stack_dumps_until_exit() {
  static PyMethodDef method = {"after_last_handler", &after_last_handler, METH_NOARGS, nullptr};
  const Ref atexit = Ref::steal(PyImport_ImportModule("atexit"));
  const Ref function = Ref::steal(PyCFunction_New(&method, nullptr));
  if (!atexit || !function ||
      !Ref::steal(PyObject_CallMethod(atexit.get(), "register", "O", function.get()))) {
    return false;
  }
  allow_stack_dumps(PyInterpreterState_Get());
  return true;
}

}  // namespace

InterpreterOptions InterpreterOptions::from(const base::WorkerConfig& config) {
  InterpreterOptions options;
  options.working_directory = config.working_directory;
  options.python_path = config.python_path;
  options.virtual_env = config.virtual_env;
  return options;
}

Result<std::unique_ptr<Interpreter>> Interpreter::start(const InterpreterOptions& options) {
  int faults = options.fault_descriptor;
  if (faults >= 0) {
    const auto prepared = prepare_crash_record(faults, options.fault_records);
    if (!prepared) return tl::unexpected(prepared.error());
    faults = *prepared;
  }
  const auto program = program_of(options.virtual_env);
  if (!program) return tl::unexpected(program.error());
  if (auto status = initialize(*program, options.program); !status) {
    return tl::unexpected(status.error());
  }
  if (!put_first_on_path(options) || !name_server() || !buffer_by_line("stdout") ||
      !buffer_by_line("stderr") || !show_faults_on(faults) || !allow_stack_dumps_until_exit()) {
    return base::fail("Python cannot be set up: " + take_exception().text);
  }
  adopt_thread_state(PyEval_SaveThread());
  return std::unique_ptr<Interpreter>(new Interpreter);
}

Result<std::unique_ptr<Interpreter>> Interpreter::adopt(const InterpreterOptions& options) {
  int faults = options.fault_descriptor;
  if (faults >= 0) {
    const auto prepared = prepare_crash_record(faults, options.fault_records);
    if (!prepared) return tl::unexpected(prepared.error());
    faults = *prepared;
  }
  const GilHold hold;
  if (!put_first_on_path(options) || !name_server() || !buffer_by_line("stdout") ||
      !buffer_by_line("stderr") || !show_faults_on(faults) || !allow_stack_dumps_until_exit()) {
    return base::fail("Python cannot be set up: " + take_exception().text);
  }
  return std::unique_ptr<Interpreter>(new Interpreter);
}

Interpreter::~Interpreter() {
  PyEval_RestoreThread(attach_thread());
  Py_FinalizeEx();
  forbid_stack_dumps();
  adopt_thread_state(nullptr);
}

bool Interpreter::would_wait() {
  const GilHold hold;
  const Ref name = to_str("threading");
  const Ref module = Ref::steal(PyImport_GetModule(name.get()));
  if (!module) return false;
  const Ref main = Ref::steal(PyObject_CallMethod(module.get(), "main_thread", nullptr));
  const Ref threads = Ref::steal(PyObject_CallMethod(module.get(), "enumerate", nullptr));
  bool found = false;
  if (main && threads && PyList_Check(threads.get())) {
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(threads.get()); ++i) {
      PyObject* const thread = PyList_GET_ITEM(threads.get(), i);
      const Ref daemon = Ref::steal(PyObject_GetAttrString(thread, "daemon"));
      if (thread != main.get() && daemon && PyObject_IsTrue(daemon.get()) == 0) found = true;
    }
  }
  PyErr_Clear();
  return found;
}

void Interpreter::finish_without_threads() {
  const GilHold hold;
  if (const Ref atexit = Ref::steal(PyImport_ImportModule("atexit"))) {
    Ref::steal(PyObject_CallMethod(atexit.get(), "_run_exitfuncs", nullptr));
  }
  for (const char* name : {"stdout", "stderr"}) {
    PyErr_Clear();
    PyObject* const stream = PySys_GetObject(name);
    if (stream != nullptr && stream != Py_None) {
      Ref::steal(PyObject_CallMethod(stream, "flush", nullptr));
    }
  }
  PyErr_Clear();
}

}  // namespace corn::python
