// SPDX-License-Identifier: Apache-2.0
#include <thread>

#include "tests/unit/wsgi/wsgi_fixture.h"
#include "workerd/runtimes/python/gil.h"
#include "workerd/runtimes/python/object.h"

namespace corn::wsgi {
namespace {

const auto* const kEnvironment = ::testing::AddGlobalTestEnvironment(new PythonEnvironment);

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
