// SPDX-License-Identifier: Apache-2.0
#include "workerd/runtimes/python/loader.h"

#include "workerd/runtimes/python/embedded_sources.h"
#include "workerd/runtimes/python/exception.h"

namespace corn::python {
namespace {

// References that are kept for as long as the process lives. Guarded by the interpreter's lock.
PyObject* loaded = nullptr;
bool kept = false;
PyObject* script_application = nullptr;

}  // namespace

void keep_loaded() { kept = loaded != nullptr; }

void load_from_script(PyObject* script) { script_application = script; }

PyObject* loaded_callable() { return loaded; }

void replace_loaded(Ref callable) {
  const Ref before = Ref::steal(loaded);
  loaded = callable.release();
}

tl::expected<Ref, app::LoadError> load_callable(const std::string& specification,
                                                const char* interface) {
  const auto fail = [](base::BootFailure kind, std::string text) {
    return tl::unexpected(app::LoadError{kind, std::move(text)});
  };
  if (kept) return Ref::borrow(loaded);
  const Ref load = run_embedded(kLoaderSource, "<corn loader>",
                                script_application != nullptr ? "load_script" : "load");
  const Ref name = to_str(specification);
  if (!load || !name) {
    return fail(base::BootFailure::kWorker, "the loader does not start: " + take_exception().text);
  }
  PyObject* source = script_application != nullptr ? script_application : name.get();
  const Ref result = Ref::steal(PyObject_CallFunction(load.get(), "Os", source, interface));
  if (!result || !PyTuple_Check(result.get()) || PyTuple_GET_SIZE(result.get()) != 2) {
    return fail(base::BootFailure::kApplication,
                "cannot load '" + specification + "': " + take_exception().text);
  }
  if (PyObject* why = PyTuple_GET_ITEM(result.get(), 1); why != Py_None) {
    return fail(base::BootFailure::kApplication, to_text(why));
  }
  Ref before = Ref::steal(loaded);
  loaded = PyTuple_GET_ITEM(result.get(), 0);
  Py_INCREF(loaded);
  return Ref::borrow(loaded);
}

}  // namespace corn::python
