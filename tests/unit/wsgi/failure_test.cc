// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/wsgi/wsgi_fixture.h"

namespace corn::wsgi {
namespace {

TEST_F(Wsgi, AnExceptionIsLoggedWithItsTracebackAndAnswered) {
  load_body("raise ValueError('no way')");
  const auto response = get("/path?x=1");
  EXPECT_EQ(response.failed, 1);
  EXPECT_EQ(response.finished, 0);
  const std::string log = PythonEnvironment::take_log();
  EXPECT_THAT(
      log,
      HasSubstr("[ERROR] Error handling request /path?x=1\nTraceback (most recent call last):"));
  EXPECT_THAT(log, HasSubstr("ValueError: no way"));
}

TEST_F(Wsgi, ATargetIsLoggedWithoutAnythingThatATerminalObeys) {
  load_body("raise ValueError('no way')");
  EXPECT_EQ(get("/\xe9\x9b").failed, 1);
  EXPECT_THAT(PythonEnvironment::take_log(),
              HasSubstr("Error handling request /\\xe9\\x9b\nTraceback"));
}

TEST_F(Wsgi, SystemExitAndKeyboardInterruptFailTheRequestOnly) {
  load_body("if environ['PATH_INFO'] == '/exit': sys.exit(3)\nraise KeyboardInterrupt");
  EXPECT_EQ(get("/exit").failed, 1);
  EXPECT_THAT(PythonEnvironment::take_log(), HasSubstr("SystemExit: 3"));
  EXPECT_EQ(get("/").failed, 1);
  EXPECT_THAT(PythonEnvironment::take_log(), HasSubstr("KeyboardInterrupt"));
}

TEST_F(Wsgi, AnExceptionInTheMiddleOfTheBodyFailsTheAnswer) {
  load_body(
      "def body():\n    yield b'x'\n    raise ValueError('middle')\nstart_response('200 OK', "
      "[])\nreturn body()");
  const auto response = get();
  EXPECT_EQ(response.writes.size(), 1U);
  EXPECT_EQ(response.failed, 1);
  EXPECT_THAT(PythonEnvironment::take_log(), HasSubstr("ValueError: middle"));
}

TEST_F(Wsgi, MisuseIsNamed) {
  const std::pair<const char*, const char*> cases[] = {
      {"return []", "AssertionError: the application returned without calling start_response"},
      {"return [b'x']", "AssertionError: the application returned without calling start_response"},
      {"return iter([b'x'])", "AssertionError: the application yielded its body before"},
      {"return None", "TypeError: 'NoneType' object is not iterable"},
      {"start_response('200 OK', [])\nreturn ['text']",
       "TypeError: the application must yield bytes, not str"},
      {"start_response('200 OK', [])\nreturn 'text'",
       "TypeError: the application must yield bytes, not str"},
      {"start_response(200, [])", "TypeError: status must be a str, not int"},
      {"start_response(b'200 OK', [])", "TypeError: status must be a str, not bytes"},
      {"start_response('OK', [])", "ValueError: status must be three digits"},
      {"start_response('200 \\u20ac', [])", "ValueError: status has characters beyond latin-1"},
      {"start_response('200 OK', None)", "TypeError: headers must be a list"},
      {"start_response('200 OK', ['a'])", "TypeError: a header must be a (name, value) tuple"},
      {"start_response('200 OK', [('a', 1)])",
       "TypeError: a header's value must be a str, not int"},
      {"start_response('200 OK', [(b'a', 'b')])",
       "TypeError: a header's name must be a str, not bytes"},
      {"start_response('200 OK', [('A', 'b\\r\\nC: d')])",
       "ValueError: field 'A' has control characters"},
      {"start_response('200 OK', [])\nstart_response('200 OK', [])",
       "AssertionError: start_response was called before"},
      {"start_response('200 OK')",
       "TypeError: start_response takes (status, headers, exc_info=None)"},
      {"start_response('200 OK', [], exc=1)", "TypeError: start_response takes"},
      {"start_response('200 OK', [], 1)",
       "TypeError: exc_info must be what sys.exc_info() returns"},
      {"start_response('200 OK', [])('text')",
       "TypeError: write takes one argument, which must be bytes"},
  };
  for (const auto& [body, message] : cases) {
    load_body(body);
    EXPECT_EQ(get().failed, 1) << body;
    EXPECT_THAT(PythonEnvironment::take_log(), HasSubstr(message)) << body;
  }
}

TEST_F(Wsgi, ExcInfoReplacesAnAnswerThatIsNotOut) {
  load_body(
      "start_response('200 OK', [('A', 'b')])\n"
      "try:\n    raise ValueError('x')\n"
      "except ValueError:\n    start_response('500 Oops', [], exc_info=sys.exc_info())\n"
      "return [b'sorry']");
  const auto response = get();
  EXPECT_EQ(response.status, "500 Oops");
  EXPECT_TRUE(response.headers.empty());
  EXPECT_EQ(response.body(), "sorry");
}

TEST_F(Wsgi, ExcInfoIsRaisedAgainWhenTheHeadIsOut) {
  load_body(
      "start_response('200 OK', [])(b'x')\n"
      "try:\n    raise ValueError('too late')\n"
      "except ValueError:\n    start_response('500 Oops', [], sys.exc_info())\n"
      "return [b'never']");
  const auto response = get();
  EXPECT_EQ(response.status, "200 OK");
  EXPECT_EQ(response.failed, 1);
  EXPECT_THAT(PythonEnvironment::take_log(), HasSubstr("ValueError: too late"));
}

TEST_F(Wsgi, AnotherExceptionOverABrokenBodyIsTheApplicationsOwn) {
  load_body(
      "try:\n    environ['wsgi.input'].read()\n"
      "except OSError:\n    raise ValueError('what now')");
  FakeRequest request("POST", "/");
  request.with_body({"some"});
  request.body.breaks = true;
  const auto response = answer(request);
  EXPECT_EQ(response.failed, 1);
  EXPECT_EQ(response.refused_with, 0);
  EXPECT_THAT(PythonEnvironment::take_log(), HasSubstr("ValueError: what now"));
}

TEST_F(Wsgi, AClientThatLeftIsNoError) {
  load_body(
      "def body():\n    yield b'x'\n    yield b'y'\nwrite = start_response('200 OK', [])\n"
      "if environ['PATH_INFO'] == '/write':\n    write(b'a')\n    write(b'b')\nreturn body()");
  for (const char* path : {"/", "/write"}) {
    FakeRequest request("GET", path);
    FakeResponder responder;
    responder.gone_after = 1;
    request.answer(*application_, responder);
    EXPECT_EQ(responder.failed, 1);
    EXPECT_THAT(PythonEnvironment::take_log(), Not(HasSubstr("ERROR")));
  }
}

TEST_F(Wsgi, HandlesKeptBeyondTheRequestRaise) {
  load(
      "kept = []\n"
      "def application(environ, start_response):\n"
      "    write = start_response('200 OK', [])\n"
      "    errors = []\n"
      "    for thing in kept:\n"
      "        try: thing()\n"
      "        except (RuntimeError, ValueError) as error: errors.append(str(error))\n"
      "    kept[:] = [lambda: start_response('200 OK', []), lambda: write(b'x'), "
      "environ['wsgi.input'].read]\n"
      "    return ['; '.join(errors).encode()]\n");
  EXPECT_EQ(get().body(), "");
  EXPECT_EQ(
      get().body(),
      "start_response was called after its request had ended; write was called after its request "
      "had ended; wsgi.input was read after its request had ended");
}

TEST_F(Wsgi, AnotherThreadCannotAnswer) {
  load_body(
      "import threading\nfound = []\ndef run():\n    try: start_response('200 OK', [])\n"
      "    except RuntimeError as error: found.append(str(error))\n"
      "thread = threading.Thread(target=run)\nthread.start()\nthread.join()\n"
      "start_response('200 OK', [])\nreturn [found[0].encode()]");
  EXPECT_EQ(get().body(), "start_response must be called on the request's thread");
}

}  // namespace
}  // namespace corn::wsgi
