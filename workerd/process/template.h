// SPDX-License-Identifier: Apache-2.0
// A template: it has evaluated the configuration, and loaded the application if that is wished, so
// that workers can be forked from it which have both already; and server hooks run in it. It has
// one thread of its own, beside those of the configuration and the application, and does nothing
// but wait for orders on its channel.
#pragma once

#include "base/channel.h"
#include "base/worker_config.h"
#include "workerd/process/child.h"

namespace corn::process {

// Gives the exit status. In a process forked from the template, that of the worker's life.
int run_template(const base::WorkerConfig& config, base::Channel channel, Inheritance inheritance);

}  // namespace corn::process
