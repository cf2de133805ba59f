// SPDX-License-Identifier: Apache-2.0
// Applications made of text, answered through a make-believe engine.
#pragma once

#include <gmock/gmock.h>

#include <algorithm>
#include <memory>
#include <string>

#include "tests/unit/wsgi/fake_engine.h"
#include "tests/unit/wsgi/python_fixture.h"
#include "workerd/runtimes/wsgi/wsgi_application.h"

namespace corn::wsgi {

using ::testing::ElementsAre;
using testing::FakeRequest;
using testing::FakeResponder;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;
using testing::PythonEnvironment;

class Wsgi : public ::testing::Test {
 protected:
  // Loads an application whose module is `source`.
  void load(const std::string& source) {
    config_.application = PythonEnvironment::make_module(source);
    auto loaded = wsgi::load(config_);
    ASSERT_TRUE(loaded) << loaded.error().text;
    application_ = std::move(*loaded);
    PythonEnvironment::take_log();
  }

  // An application with this body, which sees environ and start_response. `before`: goes ahead of
  // it.
  void load_body(const std::string& body, const std::string& before = "") {
    std::string source = before +
                         "import sys, json, threading\n"
                         "def application(environ, start_response):\n";
    std::size_t start = 0;
    while (start < body.size()) {
      const auto end = std::min(body.find('\n', start), body.size());
      source += "    " + body.substr(start, end - start) + "\n";
      start = end + 1;
    }
    load(source);
  }

  FakeResponder get(const std::string& target = "/") {
    FakeRequest request("GET", target);
    return answer(request);
  }

  FakeResponder answer(FakeRequest& request) {
    FakeResponder responder;
    request.answer(*application_, responder);
    return responder;
  }

  // What Python evaluates `expression` to, over the environ of `request`.
  std::string evaluate(const std::string& expression, FakeRequest& request) {
    load_body("start_response('200 OK', [])\nreturn [str(" + expression + ").encode()]");
    return answer(request).body();
  }

  base::WorkerConfig config_;
  std::unique_ptr<app::Application> application_;
};

}  // namespace corn::wsgi
