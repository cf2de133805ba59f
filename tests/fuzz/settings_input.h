// SPDX-License-Identifier: Apache-2.0
// The first byte of an input of the settings target, modulo 4. base_seeds.cc writes seeds in the
// same shape.
#pragma once

#include <cstdint>

namespace corn::config {

enum class SettingsSource : std::uint8_t {
  kToml,         // the text of corn.toml
  kCommandLine,  // one argument a line
  kVariables,    // one NAME=VALUE a line
  kPython,       // one NAME=JSON a line, as a Python file's values come
};

}  // namespace corn::config
