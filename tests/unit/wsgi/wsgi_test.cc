// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <thread>

#include "tests/unit/wsgi/fake_engine.h"
#include "tests/unit/wsgi/python_fixture.h"
#include "workerd/runtimes/python/gil.h"
#include "workerd/runtimes/python/object.h"
#include "workerd/runtimes/wsgi/wsgi_application.h"

namespace corn::wsgi {
namespace {

using ::testing::ElementsAre;
using testing::FakeRequest;
using testing::FakeResponder;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;
using testing::PythonEnvironment;

const auto* const kEnvironment = ::testing::AddGlobalTestEnvironment(new PythonEnvironment);

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

  // An application with this body, which sees environ and start_response.
  void load_body(const std::string& body) {
    std::string source =
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

// ---- answers ----

TEST_F(Wsgi, AListOfOneBlockIsSentAsTheLast) {
  load_body("start_response('200 OK', [('Content-Type', 'text/plain')])\nreturn [b'Hello']");
  const auto response = get();
  EXPECT_EQ(response.status, "200 OK");
  EXPECT_THAT(response.headers, ElementsAre(Pair("Content-Type", "text/plain")));
  EXPECT_THAT(response.writes, ElementsAre("Hello"));
  EXPECT_TRUE(response.ended);
  EXPECT_EQ(response.finished, 1);
  EXPECT_EQ(response.failed, 0);
}

TEST_F(Wsgi, SmallBlocksOfAListAreSentAsOne) {
  load_body("start_response('200 OK', [])\nreturn [b'a', b'', b'b']");
  EXPECT_THAT(get().writes, ElementsAre("ab"));
}

TEST_F(Wsgi, LargeBlocksOfAListAreSentOneByOneAndTheLastIsKnown) {
  load_body("start_response('200 OK', [])\nreturn (b'a' * 70000, b'b', b'')");
  const auto response = get();
  EXPECT_EQ(response.writes.size(), 2U);
  EXPECT_TRUE(response.ended);
}

TEST_F(Wsgi, EveryBlockOfAGeneratorIsSentWhenItComes) {
  load_body(
      "def body():\n    start_response('200 OK', [])\n    yield b''\n    yield b'one'\n    yield "
      "b'two'\nreturn body()");
  const auto response = get();
  EXPECT_THAT(response.writes, ElementsAre("one", "two"));
  EXPECT_FALSE(response.ended);
  EXPECT_EQ(response.finished, 1);
}

TEST_F(Wsgi, AnEmptyAnswerIsFinishedWithoutAWrite) {
  load_body("start_response('204 No Content', [])\nreturn []");
  const auto response = get();
  EXPECT_TRUE(response.writes.empty());
  EXPECT_EQ(response.finished, 1);
}

TEST_F(Wsgi, WriteSendsAtOnceBeforeTheIterable) {
  load_body(
      "write = start_response('200 OK', [])\nwrite(b'first')\nwrite(b'')\nreturn [b'second']");
  EXPECT_THAT(get().writes, ElementsAre("first", "second"));
}

TEST_F(Wsgi, HeadStopsAfterTheFirstBlock) {
  load_body(
      "def body():\n    while True:\n        yield b'x'\nstart_response('200 OK', [])\nreturn "
      "body()");
  FakeRequest request("HEAD", "/");
  const auto response = answer(request);
  EXPECT_EQ(response.writes.size(), 1U);
  EXPECT_EQ(response.finished, 1);
}

TEST_F(Wsgi, CloseIsCalledOnceAfterTheEnd) {
  load(
      "import sys\nclosed = 0\n"
      "class Body:\n"
      "    def __iter__(self): return iter([b'x'])\n"
      "    def close(self):\n        global closed\n        closed += 1\n"
      "def application(environ, start_response):\n"
      "    if environ['PATH_INFO'] == '/closed':\n"
      "        start_response('200 OK', [])\n"
      "        return [str(closed).encode()]\n"
      "    if environ['PATH_INFO'] == '/early': return Body()\n"
      "    start_response('200 OK', [])\n"
      "    return Body()\n");
  get();
  EXPECT_EQ(get("/closed").body(), "1");
  EXPECT_EQ(get("/early").failed, 1);
  EXPECT_EQ(get("/closed").body(), "2");
  FakeRequest request("GET", "/");
  FakeResponder gone;
  gone.gone_after = 0;
  request.answer(*application_, gone);
  EXPECT_EQ(gone.failed, 1);
  EXPECT_EQ(get("/closed").body(), "3");
}

TEST_F(Wsgi, AnExceptionInCloseIsLoggedAndTheAnswerStands) {
  load_body(
      "class Body:\n    def __iter__(self): return iter([b'x'])\n    def close(self): raise "
      "ValueError('late')\n"
      "start_response('200 OK', [])\nreturn Body()");
  const auto response = get("/c");
  EXPECT_EQ(response.finished, 1);
  EXPECT_EQ(response.failed, 0);
  EXPECT_THAT(PythonEnvironment::take_log(),
              HasSubstr("Error closing the response to /c\nTraceback"));
}

TEST_F(Wsgi, TheSurplusOverContentLengthEndsTheAnswerWithAWarning) {
  load_body("start_response('200 OK', [('Content-Length', '1')])\nreturn iter([b'ab', b'c'])");
  FakeRequest request("GET", "/s");
  FakeResponder responder;
  responder.limit = 1;
  request.answer(*application_, responder);
  EXPECT_EQ(responder.finished, 1);
  EXPECT_EQ(responder.writes.size(), 1U);
  EXPECT_THAT(PythonEnvironment::take_log(),
              HasSubstr("more bytes than its Content-Length for GET /s"));
}

// ---- failures ----

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

// ---- environ ----

TEST_F(Wsgi, EnvironHoldsWhatThePepAsksFor) {
  FakeRequest request("GET", "/caf%C3%A9/%zz?q=a%20b", {{"Host", "example.org:81"}});
  load_body(
      "start_response('200 OK', [])\n"
      "assert type(environ) is dict\n"
      "shown = {k: v for k, v in environ.items() if isinstance(v, (str, bool, int, tuple))}\n"
      "return [json.dumps(shown, sort_keys=True).encode()]");
  EXPECT_EQ(
      answer(request).body(),
      R"({"HTTP_HOST": "example.org:81", "PATH_INFO": "/caf\u00c3\u00a9/%zz", "QUERY_STRING": "q=a%20b", )"
      R"("RAW_URI": "/caf%C3%A9/%zz?q=a%20b", "REMOTE_ADDR": "192.0.2.7", "REMOTE_PORT": "40000", )"
      R"("REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "SERVER_NAME": "127.0.0.1", "SERVER_PORT": "8000", )"
      R"("SERVER_PROTOCOL": "HTTP/1.1", "SERVER_SOFTWARE": "corn/0.1.0", "wsgi.input_terminated": true, )"
      R"("wsgi.multiprocess": false, "wsgi.multithread": false, "wsgi.run_once": false, )"
      R"("wsgi.url_scheme": "http", "wsgi.version": [1, 0]})");
}

TEST_F(Wsgi, ContentTypeAndLengthHaveNoPrefix) {
  FakeRequest request("POST", "/", {{"Content-Type", "text/x"}, {"content-length", "3"}});
  EXPECT_EQ(
      evaluate(
          "[environ['CONTENT_TYPE'], environ['CONTENT_LENGTH'], 'HTTP_CONTENT_TYPE' in environ]",
          request),
      "['text/x', '3', False]");
}

TEST_F(Wsgi, RepeatedHeadersAreJoined) {
  FakeRequest request(
      "GET", "/",
      {{"Accept", "a"}, {"Cookie", "x=1"}, {"accept", "b"}, {"Accept", "a"}, {"Cookie", "y=2"}});
  EXPECT_EQ(evaluate("[environ['HTTP_ACCEPT'], environ['HTTP_COOKIE']]", request),
            "['a,b,a', 'x=1; y=2']");
}

TEST_F(Wsgi, HeaderValuesAreLatinOne) {
  FakeRequest request("GET", "/", {{"X-Name", "\xe9\xff"}});
  EXPECT_EQ(evaluate("ascii(environ['HTTP_X_NAME'])", request), R"('\xe9\xff')");
}

TEST_F(Wsgi, EveryRequestHasItsOwnEnviron) {
  load_body(
      "environ['mine'] = 1\nseen = environ.get('HTTP_X_ONE', '-')\n"
      "start_response('200 OK', [])\nreturn [seen.encode(), str(len(environ)).encode()]");
  FakeRequest first("GET", "/", {{"X-One", "1"}});
  FakeRequest second("GET", "/");
  const std::string one = answer(first).body();
  const std::string two = answer(second).body();
  EXPECT_EQ(one.substr(0, 1), "1");
  EXPECT_EQ(two.substr(0, 1), "-");
  EXPECT_EQ(std::stoi(one.substr(1)), std::stoi(two.substr(1)) + 1);
}

TEST_F(Wsgi, ScriptNameFromATrustedPeerIsTakenOffThePath) {
  FakeRequest request("GET", "/mount/x", {{"SCRIPT_NAME", "/mount"}});
  EXPECT_EQ(evaluate("[environ['SCRIPT_NAME'], environ['PATH_INFO']]", request),
            "['/mount', '/x']");
  FakeRequest other("GET", "/elsewhere", {{"SCRIPT_NAME", "/mount"}});
  EXPECT_EQ(answer(other).failed, 1);
  EXPECT_THAT(PythonEnvironment::take_log(), HasSubstr("does not start with SCRIPT_NAME '/mount'"));
  FakeRequest dashed("GET", "/mount/x", {{"Script-Name", "/mount"}});
  EXPECT_EQ(evaluate("[environ['SCRIPT_NAME'], environ['PATH_INFO']]", dashed), "['', '/mount/x']");
}

TEST_F(Wsgi, OnAUnixSocketTheHostHeaderNamesTheServer) {
  FakeRequest request("GET", "/", {{"Host", "example.org"}});
  request.listener.unix_socket = true;
  request.listener.host = "/run/app.sock";
  request.listener.port = 0;
  request.connection.remote_host.clear();
  EXPECT_EQ(evaluate("[environ['SERVER_NAME'], environ['SERVER_PORT'], environ['REMOTE_ADDR'], "
                     "'REMOTE_PORT' in environ]",
                     request),
            "['example.org', '80', '', False]");
}

TEST_F(Wsgi, ThreadsAndProcessesAreDeclared) {
  config_.threads = 2;
  config_.multiprocess = true;
  FakeRequest request("GET", "/");
  EXPECT_EQ(evaluate("[environ['wsgi.multithread'], environ['wsgi.multiprocess']]", request),
            "[True, True]");
}

// ---- wsgi.errors ----

TEST_F(Wsgi, ErrorsGoToTheLogLineByLine) {
  load_body(
      "errors = environ['wsgi.errors']\n"
      "print('one', 'two', file=errors)\n"
      "errors.writelines(['a\\nb\\n', 'rest'])\n"
      "start_response('200 OK', [])\nreturn []");
  get();
  const std::string log = PythonEnvironment::take_log();
  EXPECT_THAT(log, HasSubstr("[ERROR] one two\n"));
  EXPECT_THAT(log, HasSubstr("[ERROR] a\nb\n"));
  EXPECT_THAT(log, HasSubstr("[ERROR] rest\n"));
}

// ---- file_wrapper ----

TEST_F(Wsgi, AFileIsSentFromWhereItStandsUpToContentLength) {
  load_body(
      "path = environ['wsgi.errors'] and sys.path[0] + '/data'\n"
      "open(path, 'wb').write(b'0123456789' * 10)\n"
      "file = open(path, 'rb')\nfile.read(5)\n"
      "start_response('200 OK', [('Content-Length', '10')] if environ['PATH_INFO'] == '/part' else "
      "[])\n"
      "return environ['wsgi.file_wrapper'](file, 1000)");
  const auto whole = get();
  EXPECT_EQ(whole.files, 1);
  EXPECT_EQ(whole.body().size(), 95U);
  EXPECT_EQ(whole.body().substr(0, 6), "567890");
  EXPECT_EQ(get("/part").body(), "5678901234");
}

TEST_F(Wsgi, AFileThatIsNotItsDescriptorIsReadThroughPython) {
  load_body(
      "import gzip\npath = sys.path[0] + '/data.gz'\n"
      "gzip.open(path, 'wb').write(b'plain')\n"
      "start_response('200 OK', [])\n"
      "return environ['wsgi.file_wrapper'](gzip.open(path))");
  const auto response = get();
  EXPECT_EQ(response.files, 0);
  EXPECT_EQ(response.body(), "plain");
}

// ---- conformance ----

TEST_F(Wsgi, WsgirefValidateFindsNothing) {
  load(
      "from wsgiref.validate import validator\n"
      "@validator\n"
      "def application(environ, start_response):\n"
      "    data = environ['wsgi.input'].read(1000)\n"
      "    environ['wsgi.errors'].write('checked\\n')\n"
      "    start_response('200 OK', [('Content-Type', 'text/plain')])\n"
      "    return [b'validated ' + data]\n");
  FakeRequest request("POST", "/x?y", {{"Content-Type", "text/plain"}, {"Content-Length", "3"}});
  request.with_body({"abc"});
  const auto response = answer(request);
  EXPECT_EQ(response.body(), "validated abc") << PythonEnvironment::take_log();
}

// ---- threads ----

TEST_F(Wsgi, ThreadsAnswerAtOnce) {
  config_.threads = 2;
  load(
      "import threading\nbarrier = threading.Barrier(2, timeout=20)\nlocal = threading.local()\n"
      "def application(environ, start_response):\n"
      "    barrier.wait()\n"
      "    local.count = getattr(local, 'count', 0) + 1\n"
      "    start_response('200 OK', [])\n"
      "    return [str(local.count).encode()]\n");
  const auto run = [&](std::string* body) {
    application_->thread_started();
    for (int i = 0; i < 100; ++i) {
      FakeRequest request("GET", "/");
      FakeResponder responder;
      request.answer(*application_, responder);
      *body = responder.body();
    }
    application_->thread_stopping();
  };
  std::string first;
  std::string second;
  std::thread one(run, &first);
  std::thread two(run, &second);
  one.join();
  two.join();
  EXPECT_EQ(first, "100");  // a thread's state lasts from request to request
  EXPECT_EQ(second, "100");
}

TEST_F(Wsgi, RequestsLeaveNothingBehind) {
  load_body(
      "environ['wsgi.input'].read()\n"
      "if environ['PATH_INFO'] == '/raise': raise ValueError\n"
      "start_response('200 OK', [('A', 'b')])\n"
      "return iter([b'x'])");
  const auto blocks = [] {
    const python::GilHold hold;
    const python::Ref sys = python::Ref::steal(PyImport_ImportModule("sys"));
    const python::Ref gc = python::Ref::steal(PyImport_ImportModule("gc"));
    python::Ref::steal(PyObject_CallMethod(gc.get(), "collect", nullptr));
    const python::Ref count =
        python::Ref::steal(PyObject_CallMethod(sys.get(), "getallocatedblocks", nullptr));
    return PyLong_AsLong(count.get());
  };
  const auto run = [&](int count) {
    for (int i = 0; i < count; ++i) {
      FakeRequest request(i % 10 == 0 ? "POST" : "GET", i % 100 == 0 ? "/raise" : "/p",
                          {{"X-A", "b"}});
      if (i % 10 == 0) request.with_body({"some", "body"});
      FakeResponder responder;
      request.answer(*application_, responder);
    }
  };
  long before = 0;
  for (int round = 0; round < 4;
       ++round) {  // until caches, free lists and the collector have settled
    before = blocks();
    run(5000);
  }
  EXPECT_LT(blocks() - before, 50);  // a block for every hundredth request would be enough to fail
}

}  // namespace
}  // namespace corn::wsgi
