// SPDX-License-Identifier: Apache-2.0
#include "workerd/runtimes/python/loader.h"

#include "workerd/runtimes/python/embedded_sources.h"
#include "workerd/runtimes/python/exception.h"

namespace corn::python {

tl::expected<Ref, app::LoadError> load_callable(const std::string& specification,
                                                const char* interface) {
  const auto fail = [](base::BootFailure kind, std::string text) {
    return tl::unexpected(app::LoadError{kind, std::move(text)});
  };
  const Ref load = run_embedded(kLoaderSource, "<corn loader>", "load");
  const Ref name = to_str(specification);
  if (!load || !name) {
    return fail(base::BootFailure::kWorker, "the loader does not start: " + take_exception().text);
  }
  const Ref result = Ref::steal(PyObject_CallFunction(load.get(), "Os", name.get(), interface));
  if (!result || !PyTuple_Check(result.get()) || PyTuple_GET_SIZE(result.get()) != 2) {
    return fail(base::BootFailure::kApplication,
                "cannot load '" + specification + "': " + take_exception().text);
  }
  if (PyObject* why = PyTuple_GET_ITEM(result.get(), 1); why != Py_None) {
    return fail(base::BootFailure::kApplication, to_text(why));
  }
  return Ref::borrow(PyTuple_GET_ITEM(result.get(), 0));
}

}  // namespace corn::python
