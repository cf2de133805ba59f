// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <tl/expected.hpp>

#include "base/worker_config.h"
#include "workerd/app/application.h"

namespace corn::asgi {

// Makes the event loop, imports the ASGI application that config.application names and, in a worker
// that serves, has it start (lifespan). The interpreter runs (python::Interpreter) and outlives the
// application; `config` does too. Without the interpreter's lock, on the thread that will serve.
// Runs the application's code.
tl::expected<std::unique_ptr<app::Application>, app::LoadError> load(
    const base::WorkerConfig& config);

}  // namespace corn::asgi
