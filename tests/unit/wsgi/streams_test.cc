// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/wsgi/wsgi_fixture.h"

namespace corn::wsgi {
namespace {

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

}  // namespace
}  // namespace corn::wsgi
