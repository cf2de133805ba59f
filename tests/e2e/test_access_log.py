# SPDX-License-Identifier: Apache-2.0
"""The access log: every atom, no line lost, none cut in half, none forged."""

import base64
import collections
import json
import os
import re
import signal
import socket
import threading

import pytest

from harness import ECHO_QUERY, REPOSITORY, exchange, get, wait_until
from load import Load

APPS = REPOSITORY / "tests" / "apps"
CLASSES = {"sync": ["-k", "sync"], "gthread": ["-k", "gthread", "--threads", "4"]}


def lines_of(path, count=1):
    """The lines of the log once there are so many."""
    return wait_until(lambda: path.exists() and path.read_text().count("\n") >= count and
                      path.read_text().splitlines(), f"{count} lines")


def one_line(site, log_format, path="/marks?a=b", headers=None, options=(), method="GET"):
    log = site.root / "access.log"
    arbiter = site.start("--chdir", APPS, "--access-logfile", log, "--access-logformat", log_format,
                         *options, "wsgi_cases:application")
    get(arbiter.port, path, headers=headers or {}, method=method)
    lines = lines_of(log)
    assert len(lines) == 1, lines
    return lines[0], arbiter


@pytest.mark.parametrize("kind", CLASSES)
def test_every_atom_is_written(site, kind):
    atoms = ("h l u t r m U q H s B b f a T M D L p {x-in}i {x-none}i {X-Out}o {content-type}o "
             "{REMOTE_USER}e {my.number}e {WSGI.url_scheme}e {nothing}e nobody").split()
    log_format = "|".join(f"%({atom})s" for atom in atoms) + "|100%%|%(m)6s|%(s)-5s|"
    line, arbiter = one_line(site, log_format, options=CLASSES[kind], headers={
        "X-In": "in", "Referer": "/from", "User-Agent": "agent",
        "Authorization": "Basic " + base64.b64encode(b"Aladdin:open sesame").decode()})
    values = line.split("|")
    seen = dict(zip(atoms, values))
    assert re.fullmatch(r"\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]", seen.pop("t"))
    assert re.fullmatch(r"\d+\.\d{6}", seen.pop("L"))
    assert seen.pop("D").isdigit() and seen.pop("M").isdigit() and seen.pop("T").isdigit()
    assert seen == {
        "h": "203.0.113.9",  # as middleware has it, which has asked a proxy
        "l": "-", "u": "Aladdin", "r": "GET /marks?a=b HTTP/1.1", "m": "GET", "U": "/marks",
        "q": "a=b", "H": "HTTP/1.1", "s": "200", "B": "4", "b": "4", "f": "/from", "a": "agent",
        "p": f"<{arbiter.workers()[0]}>", "{x-in}i": "in", "{x-none}i": "-", "{X-Out}o": "last",
        "{content-type}o": "-", "{REMOTE_USER}e": r'J\xfcrgen \"x\"\x0a', "{my.number}e": "42",
        "{WSGI.url_scheme}e": "http", "{nothing}e": "-", "nobody": "-"}
    assert values[len(atoms):] == ["100%", "   GET", "200  ", ""]


@pytest.mark.parametrize("log_format", ["%h", "%(h", "%(h)", "%(h)r", "50%", "%(a)99999s"])
def test_a_wrong_format_is_refused_at_the_start(site, log_format):
    ended = site.run_arbiter("--bind", "127.0.0.1:0", "--access-logfile", "-",
                             "--access-logformat", f"x {log_format}", "wsgi_test:application")
    assert ended.returncode == 2
    assert "access-logformat" in ended.stderr and log_format in ended.stderr
    assert "a percent sign is written %%" in ended.stderr


def test_clients_cannot_forge_lines_or_fields(site):
    log = site.root / "access.log"
    arbiter = site.start("--access-logfile", log, "--access-logformat",
                         '"%(r)s" "%(a)s" "%(f)s" "%(u)s" "%(U)s" "%({x}i)s"', "wsgi_test:application")
    user = base64.b64encode(b'a" "\n[b]:c')
    answer = exchange(arbiter.port, b'GET /%0a"x%22%5c?"\\ HTTP/1.1\r\nHost: test\r\n'
                      b'Connection: close\r\nUser-Agent: "\\\tx\xff\r\nReferer: \\"\r\nX: \xe9"\r\n'
                      b"Authorization: Basic " + user + b"\r\n\r\n")
    line = lines_of(log)
    assert len(line) == 1 and line[0].isascii(), (line, answer)
    assert re.fullmatch(r'("([^"\\]|\\["\\]|\\x[0-9a-f]{2})*" ?){6}', line[0]), line[0]


def test_json_log_is_an_object_a_line(site):
    line, arbiter = one_line(site, "", path="/marks?%22", options=["--log-format", "json"],
                             headers={"User-Agent": 'a "b" \\ \xe9'})
    entry = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}", entry.pop("time"))
    assert entry.pop("duration") >= 0
    assert entry == {"pid": arbiter.workers()[0], "remote_addr": "203.0.113.9", "user": "-",
                     "method": "GET", "path": "/marks", "query": "%22", "protocol": "HTTP/1.1",
                     "status": 200, "bytes": 4, "referer": "-", "user_agent": 'a "b" \\ \xe9'}


def test_a_json_format_of_ones_own_stays_json(site):
    line, _ = one_line(site, '{"agent":"%(a)s","status":%(s)s}', options=["--log-format", "json"],
                       headers={"User-Agent": '"}\xff'})
    assert json.loads(line) == {"agent": '"}\xff', "status": 200}


def test_an_answer_that_its_client_leaves_is_logged_with_what_was_sent(site):
    log = site.root / "access.log"
    arbiter = site.start("--chdir", APPS, "--access-logfile", log, "--access-logformat", "%(U)s %(B)s",
                         "wsgi_cases:application")
    with socket.create_connection(("127.0.0.1", arbiter.port)) as connection:
        connection.sendall(b"GET /file_large HTTP/1.1\r\nHost: test\r\n\r\n")
        assert connection.recv(1000)
    path, size = lines_of(log)[0].split()
    assert path == "/file_large" and 0 < int(size) < 64 * 1024 * 1024


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT])
def test_no_line_is_lost_at_the_end(site, kind, number):
    log = site.root / "access.log"
    arbiter = site.start("-w", 2, *CLASSES[kind], "--access-logfile", log,
                         "--access-logformat", "%(q)s %(s)s", "wsgi_test:application")
    for i in range(20):
        get(arbiter.port, f"/?{i}")
    assert arbiter.stop(number) == 0
    assert sorted(log.read_text().splitlines()) == sorted(f"{i} 200" for i in range(20))


@pytest.mark.parametrize("kind", CLASSES)
def test_no_line_is_lost_when_a_worker_hangs_at_the_end(site, kind, tmp_path):
    hanging = tmp_path / "hanging"
    site.write("hanging.py", f"""
import time
def application(environ, start_response):
    if environ["PATH_INFO"] == "/hang":
        open({str(hanging)!r}, "w").close()
        time.sleep(1000)
    start_response("200 OK", [("Content-Length", "0")])
    return []
""")
    log = site.root / "access.log"
    arbiter = site.start(*CLASSES[kind], "--access-logfile", log, "--access-logformat", "%(q)s",
                         "hanging:application")
    requests = "".join(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"
                       for path in [f"/?{i}" for i in range(20)] + ["/hang"])
    with socket.create_connection(("127.0.0.1", arbiter.port)) as connection:
        connection.sendall(requests.encode())
        wait_until(hanging.exists, "the request that hangs")
        assert arbiter.stop(signal.SIGQUIT) == 0
    assert log.read_text().splitlines()[:20] == [str(i) for i in range(20)]


def logged_queries(paths, pattern=r"(\d+) 200"):
    """How often each query was logged; fails on a line that is not whole."""
    seen = collections.Counter()
    for path in paths:
        for line in path.read_text().splitlines():
            found = re.fullmatch(pattern, line)
            assert found, f"{path.name}: {line!r}"
            seen[int(found.group(1))] += 1
    return seen


def assert_all_logged_once(seen, answered):
    """Load numbers its requests from 1; those in flight when it stopped may be among them or not."""
    assert all(count == 1 for count in seen.values()), seen.most_common(3)
    assert len(seen) == answered


@pytest.mark.parametrize("kind", CLASSES)
def test_twenty_rotations_under_load_lose_nothing_and_cut_nothing(site, kind):
    site.write("echo.py", ECHO_QUERY)
    log = site.root / "access.log"
    arbiter = site.start("-w", 2, *CLASSES[kind], "--access-logfile", log, "--access-logformat",
                         "%(q)s %(s)s", "echo:application")
    with Load(arbiter.port, connections=8) as load:
        for i in range(20):
            load.wait_for(50)
            log.rename(site.root / f"access.log.{i}")
            arbiter.send(signal.SIGUSR1)
            wait_until(log.exists, "the new file")
    load.assert_nothing_lost()
    assert arbiter.stop() == 0
    files = [log, *(site.root / f"access.log.{i}" for i in range(20))]
    assert_all_logged_once(logged_queries(files), load.answered)


def test_recycled_workers_lose_no_line(site):
    site.write("echo.py", ECHO_QUERY)
    log = site.root / "access.log"
    arbiter = site.start("-w", 2, "--max-requests", 100, "--access-logfile", log,
                         "--access-logformat", "%(q)s %(s)s", "echo:application")
    with Load(arbiter.port, connections=4) as load:
        load.wait_for(1000)
        wait_until(lambda: len(load.servers) > 4, "recycled workers")
    load.assert_nothing_lost()
    assert arbiter.stop() == 0
    assert_all_logged_once(logged_queries([log]), load.answered)


def test_the_crash_of_a_worker_costs_no_other_workers_lines(site):
    site.write("echo.py", ECHO_QUERY)
    log = site.root / "access.log"
    arbiter = site.start("-w", 2, "--access-logfile", log, "--access-logformat", "%(q)s %(s)s %(p)s",
                         "echo:application")
    victim, survivor = arbiter.workers()
    answered = collections.defaultdict(set)

    def ask(number):
        try:
            answer = get(arbiter.port, f"/?{number}")
            answered[int(answer.headers["X-Pid"])].add(number)
        except OSError:
            pass  # the victim had it
    for number in range(200):
        if number == 100:
            os.kill(victim, signal.SIGKILL)
        ask(number)
    arbiter.wait_ready(2)
    assert survivor in arbiter.workers()
    assert arbiter.stop() == 0
    logged = collections.defaultdict(set)
    for line in log.read_text().splitlines():
        found = re.fullmatch(r"(\d+) 200 <(\d+)>", line)
        assert found, line
        logged[int(found.group(2))].add(int(found.group(1)))
    for pid, numbers in answered.items():
        if pid != victim:
            assert logged[pid] == numbers


def test_workers_that_share_a_pipe_do_not_tear_each_others_lines(site):
    """Lines of 700 bytes from four workers through one pipe, gathered into writes beyond PIPE_BUF."""
    site.write("echo.py", ECHO_QUERY)
    received = []
    reader, writer = os.pipe()

    def read():
        with os.fdopen(reader, "rb") as stream:
            received.extend(stream)
    thread = threading.Thread(target=read)
    thread.start()
    try:
        filler = "x" * 700
        arbiter = site.start("-w", 4, "--access-logfile", "-", "--access-logformat",
                             f"%(q)s {filler} %(s)s", "echo:application", stdout=writer)
    finally:
        os.close(writer)
    with Load(arbiter.port, connections=8) as load:
        load.wait_for(3000)
    load.assert_nothing_lost()
    assert arbiter.stop() == 0
    thread.join()
    seen = collections.Counter()
    for line in received:
        found = re.fullmatch(rb"(\d+) x{700} 200\n", line)
        assert found, line[:100]
        seen[int(found.group(1))] += 1
    assert_all_logged_once(seen, load.answered)


@pytest.mark.parametrize("call,error", [("ctypes.string_at(0)", "Segmentation fault"),
                                        ("os.abort()", "Aborted")])
def test_a_crash_shows_its_stack_as_json_too(site, call, error):
    site.write("crashing.py", f"""
import ctypes, os
def application(environ, start_response):
    {call}
""")
    arbiter = site.start("--log-format", "json", "crashing:application")
    with pytest.raises(OSError):
        get(arbiter.port, "/")
    wait_until(lambda: "crashing.py" in arbiter.log(), "the stack")
    arbiter.wait_ready(1)
    assert arbiter.stop() == 0
    entries = [json.loads(line) for line in arbiter.log().splitlines()]
    crash = [entry for entry in entries if error in entry["message"]]
    assert len(crash) == 1 and crash[0]["level"] == "CRITICAL"
    assert 'crashing.py", line 4 in application' in crash[0]["message"]
