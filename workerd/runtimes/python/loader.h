// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <tl/expected.hpp>

#include "workerd/app/application.h"
#include "workerd/runtimes/python/object.h"

namespace corn::python {

// The callable that `specification` names: "module:callable", "module" (its "application"),
// "module:factory(literal, ...)", dotted names. `interface` ("wsgi", "asgi") refuses what is
// plainly of another kind. Runs the application's code. With the lock held; no exception stays set.
tl::expected<Ref, app::LoadError> load_callable(const std::string& specification,
                                                const char* interface);

// From now on load_callable() gives what it has loaded last, in forks of this process too.
void keep_loaded();

// It comes from the wsgi() of `script`, an application of the Python API, whatever is specified.
// Borrowed for as long as the process lives.
void load_from_script(PyObject* script);

// What load_callable() has loaded, or what has replaced it; null before. Borrowed. With the lock.
PyObject* loaded_callable();

// The hook post_worker_init has given another application, most often one around the first. With
// the lock.
void replace_loaded(Ref callable);

}  // namespace corn::python
