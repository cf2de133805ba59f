# SPDX-License-Identifier: Apache-2.0
"""--no-sendfile and $SENDFILE."""

import pytest

from harness import get

WRAPPED = """
seen = []
def application(environ, start_response):
    if environ["PATH_INFO"] == "/seen":
        start_response("200 OK", [])
        return [repr(seen).encode()]
    file = open(__file__, "rb")
    start_response("200 OK", [])
    wrapper = environ["wsgi.file_wrapper"](file)
    wrapper.close = lambda: seen.append(file.tell())
    return wrapper
"""


@pytest.mark.parametrize("options, environment, read", [
    ([], {}, False), (["--no-sendfile"], {}, True), ([], {"SENDFILE": "no"}, True),
    ([], {"SENDFILE": "1"}, False)])
def test_files_are_read_by_python_only_where_sendfile_is_switched_off(site, options, environment,
                                                                      read):
    site.write("wrapped.py", WRAPPED)
    arbiter = site.start(*options, "wrapped:application", environment=environment)
    assert get(arbiter.port).body == WRAPPED.encode()
    assert get(arbiter.port, "/seen").body == (b"[%d]" % (len(WRAPPED) if read else 0))
