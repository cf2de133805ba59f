// SPDX-License-Identifier: Apache-2.0
// Whose turn it is: threads run Python code in turn, and on one thread greenlets may.
#pragma once

#include <cstdint>

namespace corn::python {

// Tells what runs now from everything else that lives. With the lock held.
std::uintptr_t current_strand();

// Threads are told apart, until something finer is given. Once, with the lock held, before there is
// any request.
void set_strand_identity(std::uintptr_t (*identity)());

}  // namespace corn::python
