// SPDX-License-Identifier: Apache-2.0
// What every role does on its way up: say how far it is, and load the application.
#pragma once

#include <memory>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "base/message.h"
#include "base/worker_config.h"
#include "workerd/app/application.h"
#include "workerd/link/link.h"

namespace corn::process {

inline constexpr int kExitWorker = 3;       // cannot serve
inline constexpr int kExitApplication = 4;  // the application cannot be loaded

using Loaded = tl::expected<std::unique_ptr<app::Application>, app::LoadError>;

// Sends to arbiterd; that it has gone is logged.
void tell(link::Link& link, base::Message message);
// The same for LoadedFiles, in as many messages as it takes.
void tell_files(link::Link& link, std::vector<std::string> paths);

// Says why the worker can't be had, and gives the exit status. Its log gets all of it, but not in
// a check, whose result arbiterd prints.
int boot_failed(link::Link& link, const base::WorkerConfig& config, const app::LoadError& error);
app::LoadError worker_error(std::string text);

// The application that `config` names, in the runtime of its worker class. The interpreter runs;
// without its lock. `config` outlives the application.
Loaded load_application(const base::WorkerConfig& config);

// Loads what load_application() of this process and of its forks will give to the runtime.
tl::expected<void, app::LoadError> preload_application(const base::WorkerConfig& config);

}  // namespace corn::process
