// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "tests/unit/wsgi/fake_engine.h"
#include "tests/unit/wsgi/python_fixture.h"
#include "workerd/runtimes/wsgi/wsgi_application.h"

namespace corn::wsgi {
namespace {

using testing::FakeRequest;
using testing::FakeResponder;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::PythonEnvironment;

class WsgiInput : public ::testing::Test {
 protected:
  // What Python's `expression` over `body` is, for a body that arrives in `pieces`.
  std::string evaluate(const std::string& expression, std::deque<std::string> pieces) {
    FakeRequest request("POST", "/");
    request.with_body(std::move(pieces));
    return evaluate(expression, request);
  }

  std::string evaluate(const std::string& expression, FakeRequest& request) {
    base::WorkerConfig config;
    config.application = PythonEnvironment::make_module(
        "def application(environ, start_response):\n"
        "    body = environ['wsgi.input']\n"
        "    start_response('200 OK', [])\n"
        "    return [repr(" +
        expression + ").encode()]\n");
    auto application = wsgi::load(config);
    if (!application) return application.error().text;
    FakeResponder responder;
    request.answer(**application, responder);
    if (responder.refused_with != 0) return std::to_string(responder.refused_with);
    return responder.failed != 0 ? "failed" : responder.body();
  }
};

TEST_F(WsgiInput, ReadWithoutSizeReadsToTheEnd) {
  EXPECT_EQ(evaluate("[body.read(), body.read()]", {"ab", "c", "d"}), "[b'abcd', b'']");
  EXPECT_EQ(evaluate("body.read(None)", {"ab"}), "b'ab'");
  EXPECT_EQ(evaluate("body.read(-1)", {"ab"}), "b'ab'");
}

TEST_F(WsgiInput, ReadWithSizeWaitsForThatMany) {
  EXPECT_EQ(evaluate("[body.read(3), body.read(0), body.read(3), body.read(3)]", {"ab", "c", "d"}),
            "[b'abc', b'', b'd', b'']");
  EXPECT_EQ(evaluate("body.read(1 << 60)", {"ab"}), "b'ab'");
}

TEST_F(WsgiInput, ReadlineEndsAtANewlineTheSizeOrTheEnd) {
  EXPECT_EQ(
      evaluate(
          "[body.readline(), body.readline(2), body.readline(), body.readline(9), body.readline()]",
          {"on", "e\ntw", "o\nthree"}),
      R"([b'one\n', b'tw', b'o\n', b'three', b''])");
  EXPECT_EQ(evaluate("[body.readline(0), body.readline(None), body.readline(-1)]", {"a\nb"}),
            R"([b'', b'a\n', b'b'])");
}

TEST_F(WsgiInput, ReadlinesStopsAtTheHint) {
  EXPECT_EQ(evaluate("[body.readlines(2), body.readlines(), body.readlines()]", {"a\nb\nc"}),
            R"([[b'a\n'], [b'b\n', b'c'], []])");
}

TEST_F(WsgiInput, IterationYieldsLines) {
  EXPECT_EQ(evaluate("[list(body), list(body)]", {"a\n", "\n", "b"}),
            R"([[b'a\n', b'\n', b'b'], []])");
}

TEST_F(WsgiInput, TheWaysOfReadingMix) {
  EXPECT_EQ(evaluate("[body.readline(), body.read(2), next(body), body.read()]", {"a\nbcd\nefg\n"}),
            R"([b'a\n', b'bc', b'd\n', b'efg\n'])");
}

TEST_F(WsgiInput, ALongBodyArrivesWhole) {
  std::deque<std::string> pieces;
  for (int i = 0; i < 500; ++i) pieces.emplace_back(10000, static_cast<char>('a' + i % 26));
  EXPECT_EQ(evaluate("len(body.read())", pieces), "5000000");
  EXPECT_EQ(evaluate("[len(body.read(4096)), len(body.readline()), body.read()]", pieces),
            "[4096, 4995904, b'']");
  FakeRequest whole("POST", "/");
  whole.with_body(pieces);
  whole.body.is_whole = true;
  EXPECT_EQ(evaluate("len(body.read())", whole), "5000000");
}

TEST_F(WsgiInput, ARequestWithoutABodyIsNotAskedForOne) {
  FakeRequest request("GET", "/");
  EXPECT_EQ(evaluate("[body.read(), body.readline(), list(body)]", request), "[b'', b'', []]");
  EXPECT_EQ(request.body.reads, 0);
}

TEST_F(WsgiInput, ABrokenBodyRaisesOsErrorAndNeverLooksWhole) {
  for (const char* expression :
       {"body.read()", "body.read(10)", "body.readline()", "list(body)", "body.readlines()"}) {
    FakeRequest request("POST", "/");
    request.with_body({"some"});
    request.body.breaks = true;
    EXPECT_EQ(evaluate(expression, request), "400") << expression;
    const std::string log = PythonEnvironment::take_log();
    EXPECT_THAT(log, HasSubstr("[WARNING] Invalid request from ip=192.0.2.7: the client went"));
    EXPECT_THAT(log, Not(HasSubstr("Traceback")));
  }
}

TEST_F(WsgiInput, WrongArgumentsAreTypeErrors) {
  for (const char* expression : {"body.read('x')", "body.read(1, 2)", "body.readline(1.5)"}) {
    FakeRequest request("POST", "/");
    EXPECT_EQ(evaluate(expression, request), "failed") << expression;
    EXPECT_THAT(PythonEnvironment::take_log(), HasSubstr("TypeError"));
  }
}

TEST_F(WsgiInput, AnotherThreadMayReadAWholeBodyOnly) {
  const std::string expression =
      "[(lambda found, threading: [t := threading.Thread(target=lambda: found.append(read(body))), "
      "t.start(), "
      "t.join(), found[0]][-1])([], __import__('threading'))]";
  const std::string source = "(lambda read: " + expression +
                             ")(lambda body: body.read() if environ['wsgi.input'] else None)";
  FakeRequest whole("POST", "/");
  whole.with_body({"abc"});
  whole.body.is_whole = true;
  EXPECT_EQ(evaluate(source, whole), "[b'abc']");
}

}  // namespace
}  // namespace corn::wsgi
