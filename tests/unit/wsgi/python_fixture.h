// SPDX-License-Identifier: Apache-2.0
// One interpreter for all tests of a program (CPython does not start twice well), and modules made
// of text.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "base/log.h"
#include "workerd/runtimes/python/interpreter.h"

namespace corn::testing {

class PythonEnvironment : public ::testing::Environment {
 public:
  void SetUp() override {
    char pattern[] = "/tmp/corn-wsgi-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern), nullptr);
    directory = pattern;
    ASSERT_TRUE(base::open_log({.path = log_path(), .level = base::LogLevel::kDebug}));
    python::InterpreterOptions options;
    options.working_directory = directory;
    auto started = python::Interpreter::start(options);
    ASSERT_TRUE(started) << started.error().message;
    interpreter_ = std::move(*started);
  }

  void TearDown() override {
    interpreter_.reset();
    std::filesystem::remove_all(directory);
  }

  [[nodiscard]] static std::string log_path() { return directory + "/error.log"; }

  // Makes a new module of the source; gives its name.
  static std::string make_module(const std::string& source) {
    static int count = 0;
    const std::string name = "application_" + std::to_string(count++);
    std::ofstream(directory + "/" + name + ".py") << source;
    return name;
  }

  // What the log has gained since the last call.
  static std::string take_log() {
    static std::streamoff position = 0;
    std::ifstream file(log_path());
    file.seekg(position);
    std::string text((std::istreambuf_iterator<char>(file)), {});
    position += static_cast<std::streamoff>(text.size());
    return text;
  }

  static inline std::string directory;

 private:
  std::unique_ptr<python::Interpreter> interpreter_;
};

}  // namespace corn::testing
