// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace corn::server {

// An empty file in `directory` that has no name and ends with its descriptor. `what` is to be
// stored in it, for the message: "a request's body". Any thread.
base::Result<base::UniqueFd> open_temporary_file(const std::string& directory,
                                                 const std::string& what);

}  // namespace corn::server
