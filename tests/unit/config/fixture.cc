// SPDX-License-Identifier: Apache-2.0
#include "fixture.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/check.h"

namespace corn::config {

ConfigTest::ConfigTest() {
  std::string path = (std::filesystem::temp_directory_path() / "corn-config-XXXXXX").string();
  CORN_CHECK(::mkdtemp(path.data()) != nullptr);
  directory_ = path;
}

ConfigTest::~ConfigTest() {
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

std::string ConfigTest::write(const std::string& name, const std::string& content) {
  const std::string path = directory_ + "/" + name;
  std::ofstream(path) << content;
  return path;
}

void ConfigTest::make_directory(const std::string& name) {
  std::filesystem::create_directories(directory_ + "/" + name);
}

void ConfigTest::python(const std::string& name, const std::string& json, std::uint32_t line) {
  if (!python_) python_.emplace();
  python_->values.push_back({name, json, "", line});
}

void ConfigTest::python_object(const std::string& name, const std::string& type,
                               std::uint32_t line) {
  if (!python_) python_.emplace();
  python_->values.push_back({name, "", type, line});
}

base::Result<Settings> ConfigTest::load(const Arguments& arguments) {
  const base::Result<Invocation> invocation = read_invocation(arguments, environment_, directory_);
  if (!invocation) return tl::unexpected(invocation.error());
  return resolve(*invocation, python_);
}

Settings ConfigTest::good(const Arguments& arguments) {
  base::Result<Settings> settings = load(arguments);
  EXPECT_TRUE(settings.has_value()) << settings.error().message;
  return settings ? *std::move(settings) : Settings{{}, std::vector<PoolSettings>(1), {}};
}

PoolSettings ConfigTest::pool(const Arguments& arguments) {
  Settings settings = good(arguments);
  EXPECT_EQ(settings.pools.size(), 1U);
  return std::move(settings.pools[0]);
}

std::string ConfigTest::error(const Arguments& arguments) {
  const base::Result<Settings> settings = load(arguments);
  EXPECT_FALSE(settings.has_value());
  return settings ? "" : settings.error().message;
}

std::string shown(const std::vector<EffectiveValue>& values, const std::string& name) {
  for (const EffectiveValue& value : values) {
    if (value.name == name) return value.value + " from " + value.origin;
  }
  return "no such setting: " + name;
}

}  // namespace corn::config
