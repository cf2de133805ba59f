// SPDX-License-Identifier: Apache-2.0
#include "workerd/runtimes/python/embedded_sources.h"

namespace corn::python {

Ref run_embedded(const char* source, const char* file, const char* name) {
  const Ref code = Ref::steal(Py_CompileString(source, file, Py_file_input));
  const Ref globals = Ref::steal(PyDict_New());
  const Ref path = Ref::steal(PyUnicode_FromString(file));
  if (!code || !globals || !path ||
      PyDict_SetItemString(globals.get(), "__builtins__", PyEval_GetBuiltins()) < 0 ||
      PyDict_SetItemString(globals.get(), "__name__", path.get()) < 0 ||
      PyDict_SetItemString(globals.get(), "__file__", path.get()) < 0) {
    return {};
  }
  if (!Ref::steal(PyEval_EvalCode(code.get(), globals.get(), globals.get()))) return {};
  PyObject* found = PyDict_GetItemString(globals.get(), name);
  if (found == nullptr) PyErr_Format(PyExc_NameError, "%s has no '%s'", file, name);
  return Ref::borrow(found);
}

bool share_embedded(const char* source, const char* name) {
  PyObject* modules = PyImport_GetModuleDict();
  if (PyDict_GetItemString(modules, name) != nullptr) return true;
  const Ref code = Ref::steal(Py_CompileString(source, name, Py_file_input));
  // Enters it in sys.modules, and takes it out again if it fails.
  return code && Ref::steal(PyImport_ExecCodeModuleEx(name, code.get(), name));
}

}  // namespace corn::python
