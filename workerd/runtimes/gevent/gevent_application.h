// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <tl/expected.hpp>

#include "workerd/app/application.h"

namespace corn::gevent {

// Has gevent patch the standard library, unless that is done; before anything is imported that
// might use it. Fails if gevent can't be imported. The interpreter runs (python::Interpreter). On
// the main thread, without the interpreter's lock.
tl::expected<void, app::LoadError> patch();

// An application that is called on greenlets, as one with a host loop. After patch(); the
// interpreter outlives it.
std::unique_ptr<app::Application> on_greenlets(std::unique_ptr<app::Application> application);

}  // namespace corn::gevent
