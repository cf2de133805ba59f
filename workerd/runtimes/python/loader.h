// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <tl/expected.hpp>

#include "workerd/app/application.h"
#include "workerd/runtimes/python/object.h"

namespace corn::python {

// The callable that `specification` names: "module:callable", "module" (its "application"),
// "module:factory(literal, ...)", dotted names. `interface` ("wsgi") refuses what is plainly of
// another kind. Runs the application's code. With the lock held; no exception stays set.
tl::expected<Ref, app::LoadError> load_callable(const std::string& specification,
                                                const char* interface);

}  // namespace corn::python
