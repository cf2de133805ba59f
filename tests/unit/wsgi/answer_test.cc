// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/wsgi/wsgi_fixture.h"

namespace corn::wsgi {
namespace {

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

TEST_F(Wsgi, HeadersMayBeAnyIterableOfPairs) {
  for (const char* headers :
       {"(('A', 'b'),)", "[['A', 'b']]", "{'A': 'b'}.items()", "(pair for pair in [('A', 'b')])"}) {
    load_body("start_response('200 OK', " + std::string(headers) + ")\nreturn []");
    EXPECT_THAT(get().headers, ElementsAre(Pair("A", "b"))) << headers;
  }
}

TEST_F(Wsgi, EarlyHintsAreGivenToTheEngine) {
  load_body(
      "environ['wsgi.early_hints']([('Link', 'a'), (b'Link', b'b')])\n"
      "start_response('200 OK', [])\nreturn []");
  const auto response = get();
  EXPECT_THAT(response.hints, ElementsAre(Pair("Link", "a"), Pair("Link", "b")));
  EXPECT_EQ(response.finished, 1);
}

TEST_F(Wsgi, TheAccessLogGetsWhatTheEnvironSaysInTheEnd) {
  load_body(
      "environ.update({'REMOTE_ADDR': '203.0.113.9', 'x.number': 42, 'x.name': 'J\\xfcrgen',\n"
      "                'x.wide': '\\u20ac', 'x.bad': Bad()})\n"
      "start_response('200 OK', [])\nreturn []",
      "class Bad:\n    def __str__(self): raise ValueError\n");
  FakeRequest request("GET", "/");
  FakeResponder responder;
  responder.wanted = {"REMOTE_ADDR", "X.Number", "x.name", "x.wide", "x.bad", "missing"};
  request.answer(*application_, responder);
  responder.variables.resize(responder.wanted.size());
  EXPECT_THAT(responder.variables,
              ElementsAre("203.0.113.9", "42", "J\xfcrgen", "\xe2\x82\xac", "", ""));
  EXPECT_EQ(responder.finished, 1);
}

}  // namespace
}  // namespace corn::wsgi
