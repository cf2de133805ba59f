// SPDX-License-Identifier: Apache-2.0
#include "workerd/runtimes/python/strand.h"

#include <pthread.h>

namespace corn::python {
namespace {

std::uintptr_t thread_identity() { return static_cast<std::uintptr_t>(::pthread_self()); }

std::uintptr_t (*strand_identity)() = &thread_identity;

}  // namespace

std::uintptr_t current_strand() { return strand_identity(); }

void set_strand_identity(std::uintptr_t (*identity)()) { strand_identity = identity; }

}  // namespace corn::python
