// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <tl/expected.hpp>

#include "base/worker_config.h"
#include "workerd/app/application.h"

namespace corn::wsgi {

// Imports the WSGI application that config.application names. The interpreter runs
// (python::Interpreter) and outlives the application; `config` does too. Without the interpreter's
// lock. Runs the application's code.
tl::expected<std::unique_ptr<app::Application>, app::LoadError> load(
    const base::WorkerConfig& config);

}  // namespace corn::wsgi
