# SPDX-License-Identifier: Apache-2.0
"""Logs as other programs read them: gunicorn's lines, or JSON."""

import json
import re

from harness import exchange, get, wait_until


def access_lines(site, *options, count=1, request=None):
    log = site.root / "access.log"
    arbiter = site.start("--access-logfile", log, *options, "wsgi_test:application")
    if request:
        exchange(arbiter.port, request)
    else:
        get(arbiter.port, "/path?query=1", headers={"User-Agent": "a test", "Referer": "/there"})
    return wait_until(lambda: len(log.read_text().splitlines()) >= count and
                      log.read_text().splitlines(), "the access log")


def test_access_log_has_gunicorns_default_format(site):
    line = access_lines(site)[0]
    assert re.fullmatch(r'127\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] '
                        r'"GET /path\?query=1 HTTP/1\.1" 200 11 "/there" "a test"', line), line


def test_access_log_in_a_format_of_ones_own(site):
    line = access_lines(site, "--access-logformat", '%(m)s %(U)s %(s)s %({user-agent}i)s')[0]
    assert line == "GET /path 200 a test"


def test_access_log_goes_to_standard_output_when_asked(site):
    arbiter = site.start("--access-logfile", "-", "wsgi_test:application")
    get(arbiter.port, "/on-standard-output")
    wait_until(lambda: "/on-standard-output" in arbiter.output(), "the line")
    assert "/on-standard-output" not in arbiter.log()


def test_no_client_can_forge_a_line(site):
    lines = access_lines(site, request=b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n"
                         b'User-Agent: x" 200 "y\tz\xff\r\n\r\n')
    assert len(lines) == 1
    agent = re.search(r'"-" "(.*)"$', lines[0]).group(1)
    assert not re.search(r'(?<!\\)"|[\x00-\x1f]', agent), f"a quote or control character: {agent!r}"


def test_error_log_as_json_has_one_object_a_line(site):
    site.write("raises.py", "def application(environ, start_response):\n"
               "    raise RuntimeError('two\\nlines')\n")
    arbiter = site.start("--log-format", "json", "raises:application")
    assert get(arbiter.port).status == 500
    wait_until(lambda: "RuntimeError" in arbiter.log(), "the traceback")
    entries = [json.loads(line) for line in arbiter.log().splitlines()]
    assert len(entries) >= 5
    assert any("RuntimeError" in json.dumps(entry) for entry in entries)


def test_an_exception_is_logged_with_its_traceback_and_the_worker_lives_on(site):
    site.write("raises.py", "def application(environ, start_response):\n    return 1 / 0\n")
    arbiter = site.start("raises:application")
    worker = arbiter.workers()
    assert get(arbiter.port, "/divide").status == 500
    wait_until(lambda: "ZeroDivisionError" in arbiter.log(), "the traceback")
    assert "/divide" in arbiter.log() and 'raises.py", line 2' in arbiter.log()
    assert arbiter.workers() == worker


def test_log_level_silences_what_is_below_it(site):
    arbiter = site.start("--log-level", "warning", "wsgi_test:application", ready=False)
    arbiter.wait_ready()
    assert arbiter.log() == ""
