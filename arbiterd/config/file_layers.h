// SPDX-License-Identifier: Apache-2.0
// Configuration files as layers of given settings.
#pragma once

#include <string>
#include <vector>

#include "arbiterd/config/given.h"
#include "base/message.h"
#include "base/result.h"

namespace corn::config {

// The pool of an instance that no TOML file divides into pools.
inline constexpr std::string_view kOnlyPool = "default";

struct PoolLayer {
  std::string name;
  std::string origin;  // "corn.toml:3"
  Layer layer;
};

struct FileLayers {
  Layer arbiter;
  std::vector<PoolLayer> pools;  // in the order of the file; may be empty
};

// Reads Corn's own file: [arbiter] and [pool.NAME] tables. `shown` names the file in messages.
// Unknown keys and keys in the wrong table go to `problems`; a file that can't be read or is no
// TOML is the error.
base::Result<FileLayers> read_toml(const std::string& path, const std::string& shown,
                                   Problems& problems);

// The same from a text.
base::Result<FileLayers> parse_toml(std::string_view text, const std::string& shown,
                                    Problems& problems);

// The values of a Python file, for one pool. Names that are no settings are left out, as gunicorn
// does, and so is what has the value None.
FileLayers python_layers(const base::ConfigValues& values, const std::string& shown,
                         Problems& problems);

}  // namespace corn::config
