// SPDX-License-Identifier: Apache-2.0
// corn._engine: what workerd is made of, as a module of the Python that a script runs in, so that
// workers can be forked from the script's own state.
#include <Python.h>

#include "base/unique_fd.h"
#include "workerd/process/script.h"

namespace corn {
namespace {

PyObject* serve(PyObject* /*module*/, PyObject* arguments) {
  int channel = -1;
  PyObject* application = nullptr;
  if (PyArg_ParseTuple(arguments, "iO:serve", &channel, &application) == 0) return nullptr;
  return PyLong_FromLong(process::serve_script(base::UniqueFd(channel), application));
}

PyMethodDef methods[] = {
    {"serve", &serve, METH_VARARGS,
     "serve(channel, app): obey arbiterd, whose channel's descriptor is taken, and return the exit "
     "status when it ends. Forked children don't return."},
    {nullptr, nullptr, 0, nullptr}};

PyModuleDef definition = {.m_base = PyModuleDef_HEAD_INIT,
                          .m_name = "corn._engine",
                          .m_doc = "Corn's workers, for a script that runs them.",
                          .m_size = -1,
                          .m_methods = methods,
                          .m_slots = nullptr,
                          .m_traverse = nullptr,
                          .m_clear = nullptr,
                          .m_free = nullptr};

}  // namespace
}  // namespace corn

// Python makes the name of the module's.
PyMODINIT_FUNC PyInit__engine() {  // NOLINT(bugprone-reserved-identifier)
  PyObject* module = PyModule_Create(&corn::definition);
  if (module != nullptr && PyModule_AddStringConstant(module, "version", CORN_VERSION) < 0) {
    Py_CLEAR(module);
  }
  return module;
}
