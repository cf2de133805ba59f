// SPDX-License-Identifier: Apache-2.0
#include "workerd/runtimes/python/exception.h"

#include <Python.h>

#include "workerd/runtimes/python/object.h"

namespace corn::python {
namespace {

// The strings of the list that a function of module traceback returns, joined.
std::string join(const Ref& list) {
  std::string text;
  if (!list || !PyList_Check(list.get())) return text;
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list.get()); ++i) {
    text += to_text(PyList_GET_ITEM(list.get(), i));
  }
  return text;
}

PyObject* or_none(const Ref& object) { return object ? object.get() : Py_None; }

}  // namespace

ExceptionText take_exception() {
  PyObject* raw_type = nullptr;
  PyObject* raw_value = nullptr;
  PyObject* raw_traceback = nullptr;
  PyErr_Fetch(&raw_type, &raw_value, &raw_traceback);
  PyErr_NormalizeException(&raw_type, &raw_value, &raw_traceback);
  const Ref type = Ref::steal(raw_type);
  const Ref value = Ref::steal(raw_value);
  const Ref traceback = Ref::steal(raw_traceback);
  if (!type) return {"no exception was set", "no exception was set\n"};
  if (value && traceback) PyException_SetTraceback(value.get(), traceback.get());

  ExceptionText result;
  const Ref module = Ref::steal(PyImport_ImportModule("traceback"));
  if (module) {
    result.summary = join(Ref::steal(PyObject_CallMethod(module.get(), "format_exception_only",
                                                         "OO", type.get(), or_none(value))));
    result.text = join(Ref::steal(PyObject_CallMethod(
        module.get(), "format_exception", "OOO", type.get(), or_none(value), or_none(traceback))));
  }
  PyErr_Clear();
  while (result.summary.ends_with('\n')) result.summary.pop_back();
  if (result.text.empty()) {
    result.summary = reinterpret_cast<PyTypeObject*>(type.get())->tp_name;
    result.text = result.summary + " (its traceback cannot be shown)\n";
  }
  return result;
}

}  // namespace corn::python
