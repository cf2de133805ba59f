// SPDX-License-Identifier: Apache-2.0
// Settings as sources give them, before they are merged: each with the place it was written at.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "arbiterd/config/raw_value.h"
#include "arbiterd/config/schema.h"
#include "base/result.h"

namespace corn::config {

struct Given {
  const Setting* setting = nullptr;  // never null; points into schema()
  RawValue raw;
  std::string origin;    // "corn.toml:7", "command line"
  std::string spelling;  // what the value was written after: "workers = ", "--workers "

  // "corn.toml:7: workers = "many": ", for a message about the value.
  [[nodiscard]] std::string prefix() const;
};

// What one source gives; a later entry for the same setting counts.
using Layer = std::vector<Given>;

// Problems with what was given, collected so that a person sees all of them at once.
class Problems {
 public:
  void add(std::string text);
  [[nodiscard]] bool empty() const { return texts_.empty(); }
  // One a line, in the order found, without repetitions; shortened when there are very many.
  [[nodiscard]] base::Error error() const;

 private:
  std::vector<std::string> texts_;
};

// A value in force.
struct InForce {
  Value value;
  std::string origin;
  std::string prefix;  // as Given::prefix()
};
using InForceByName = std::map<std::string_view, InForce>;

// Checks everything in `layers`, weakest first, and lays them over the defaults of those settings
// that `wanted` selects. A refused setting with another value than its default is a problem.
// `environment` provides defaults where settings have a variable.
InForceByName merge(const std::vector<const Layer*>& layers, bool (*wanted)(const Setting&),
                    const std::map<std::string, std::string>& environment, Problems& problems);

}  // namespace corn::config
