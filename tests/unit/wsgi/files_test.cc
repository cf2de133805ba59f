// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/wsgi/wsgi_fixture.h"

namespace corn::wsgi {
namespace {

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
  FakeRequest request("GET", "/part");
  FakeResponder part;
  part.limit = 10;  // the engine cuts what is too much
  request.answer(*application_, part);
  EXPECT_EQ(part.finished, 1);
  EXPECT_EQ(PythonEnvironment::take_log(), "");
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

TEST_F(Wsgi, AFileThatSaysItIsEmptyIsReadThroughPython) {
  load_body(
      "start_response('200 OK', [])\n"
      "return environ['wsgi.file_wrapper'](open('/proc/self/status', 'rb'))");
  const auto response = get();
  EXPECT_EQ(response.files, 0);
  EXPECT_THAT(response.body(), HasSubstr("Pid:"));
}

TEST_F(Wsgi, AFileThatShrinksUnderItsAnswerIsLogged) {
  load_body(
      "path = sys.path[0] + '/data'\nopen(path, 'wb').write(b'0123456789')\n"
      "start_response('200 OK', [])\n"
      "return environ['wsgi.file_wrapper'](open(path, 'rb'))");
  FakeRequest request("GET", "/shrinks");
  FakeResponder responder;
  responder.file_error = EIO;
  request.answer(*application_, responder);
  EXPECT_EQ(responder.failed, 1);
  EXPECT_THAT(PythonEnvironment::take_log(),
              HasSubstr("[ERROR] The response to GET /shrinks is cut off: the file is shorter"));
}

}  // namespace
}  // namespace corn::wsgi
