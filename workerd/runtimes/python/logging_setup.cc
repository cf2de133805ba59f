// SPDX-License-Identifier: Apache-2.0
#include "workerd/runtimes/python/logging_setup.h"

#include <Python.h>

#include "base/log.h"
#include "workerd/runtimes/python/embedded_sources.h"
#include "workerd/runtimes/python/exception.h"
#include "workerd/runtimes/python/gil.h"
#include "workerd/runtimes/python/object.h"

namespace corn::python {
namespace {

// Python's numbers: 10 debug, 20 info, and so on; anything in between belongs to the one below.
base::LogLevel level_of(int number) {
  if (number >= 50) return base::LogLevel::kCritical;
  if (number >= 40) return base::LogLevel::kError;
  if (number >= 30) return base::LogLevel::kWarning;
  return number >= 20 ? base::LogLevel::kInfo : base::LogLevel::kDebug;
}

PyObject* write_entry(PyObject* /*module*/, PyObject* arguments) {
  int level = 0;
  PyObject* text = nullptr;
  if (PyArg_ParseTuple(arguments, "iU", &level, &text) == 0) return nullptr;
  base::log_line(level_of(level), to_text(text));
  Py_RETURN_NONE;
}

base::Status not_set_up() {
  return base::fail("Python's logging can't be set up: " + take_exception().text);
}

}  // namespace

base::Status make_loggers(const base::WorkerConfig& config) {
  static bool done = false;
  if (done) return {};
  static PyMethodDef method = {"write_entry", &write_entry, METH_VARARGS, nullptr};
  const GilHold hold;
  const Ref make = run_embedded(kLoggingSetupSource, "<corn logging>", "make_loggers");
  const Ref write = Ref::steal(PyCFunction_New(&method, nullptr));
  if (!make || !write ||
      !Ref::steal(PyObject_CallFunction(make.get(), "Os", write.get(), config.log_level.c_str()))) {
    return not_set_up();
  }
  done = true;
  return {};
}

base::Status set_up_logging(const base::WorkerConfig& config) {
  static bool done = false;
  if (done) return {};
  if (auto made = make_loggers(config); !made) return made;
  const GilHold hold;
  const Ref set_up = run_embedded(kLoggingSetupSource, "<corn logging>", "set_up");
  const Ref result = set_up ? Ref::steal(PyObject_CallFunction(
                                  set_up.get(), "sss", config.log_config_file.c_str(),
                                  config.log_config_json.c_str(), config.log_config_dict.c_str()))
                            : Ref();
  if (!result) return not_set_up();
  if (result.get() != Py_None) return base::fail(to_text(result.get()));
  done = true;
  return {};
}

}  // namespace corn::python
