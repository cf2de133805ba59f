// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/wsgi/wsgi_fixture.h"

namespace corn::wsgi {
namespace {

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
  EXPECT_EQ(answer(other).refused_with, 500);
  const std::string log = PythonEnvironment::take_log();
  EXPECT_THAT(log, HasSubstr("[ERROR] GET /elsewhere is not passed on: ValueError: the path of the "
                             "request does not start with SCRIPT_NAME '/mount'\n"));
  EXPECT_THAT(log, Not(HasSubstr("Traceback")));
  FakeRequest dashed("GET", "/mount/x", {{"Script-Name", "/mount"}});
  EXPECT_EQ(evaluate("[environ['SCRIPT_NAME'], environ['PATH_INFO']]", dashed), "['', '/mount/x']");
}

TEST_F(Wsgi, ASlashAtTheEndOfScriptNameBelongsToThePath) {
  const std::string_view cases[][3] = {
      {"/mount/", "/mount/x", "['/mount', '/x']"}, {"/mount/", "/mount/", "['/mount', '/']"},
      {"/mount/", "/mount", "['/mount', '']"},     {"/mount//", "/mount//x", "['/mount', '//x']"},
      {"/", "/mount/x", "['', '/mount/x']"},       {"//", "/", "['', '/']"}};
  for (const auto& [script_name, target, expected] : cases) {
    FakeRequest request("GET", std::string(target), {{"SCRIPT_NAME", std::string(script_name)}});
    EXPECT_EQ(evaluate("[environ['SCRIPT_NAME'], environ['PATH_INFO']]", request), expected)
        << script_name << ' ' << target;
  }
  FakeRequest apple("GET", "/mounted", {{"SCRIPT_NAME", "/mount/"}});
  EXPECT_EQ(answer(apple).refused_with, 500);
}

TEST_F(Wsgi, OptionsForTheWholeServerIsBelowNoScriptName) {
  FakeRequest request("OPTIONS", "*", {{"SCRIPT_NAME", "/mount"}});
  request.head.target_form = http::TargetForm::kAsterisk;
  EXPECT_EQ(evaluate("[environ['SCRIPT_NAME'], environ['PATH_INFO']]", request), "['', '*']");
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
  config_.worker_class = base::WorkerClass::kThreads;
  config_.multiprocess = true;
  FakeRequest request("GET", "/");
  EXPECT_EQ(evaluate("[environ['wsgi.multithread'], environ['wsgi.multiprocess']]", request),
            "[True, True]");
}

}  // namespace
}  // namespace corn::wsgi
