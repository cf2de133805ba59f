// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "arbiterd/config/sources.h"

namespace corn::config {

using Arguments = std::vector<std::string>;

// A working directory of its own, an environment, and the two steps from a command line to
// settings.
class ConfigTest : public testing::Test {
 protected:
  ConfigTest();
  ~ConfigTest() override;

  // Writes a file in the working directory and returns its path.
  std::string write(const std::string& name, const std::string& content);
  void make_directory(const std::string& name);

  // Python values as the config host would send them: name, JSON, line.
  void python(const std::string& name, const std::string& json, std::uint32_t line);
  void python_object(const std::string& name, const std::string& type, std::uint32_t line);

  base::Result<Settings> load(const Arguments& arguments);
  // The settings, which must be right.
  Settings good(const Arguments& arguments);
  // The only pool of settings that must be right.
  PoolSettings pool(const Arguments& arguments);
  // What is said about settings that must be wrong.
  std::string error(const Arguments& arguments);

  std::string directory_;
  std::map<std::string, std::string> environment_;
  std::optional<base::ConfigValues> python_;
};

// "VALUE from ORIGIN" of the setting `name`.
std::string shown(const std::vector<EffectiveValue>& values, const std::string& name);

}  // namespace corn::config
