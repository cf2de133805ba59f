# SPDX-License-Identifier: Apache-2.0
"""Applications that hang are found, reported with stack and request, answered for, and replaced."""

import datetime
import socket
import threading
import time

import pytest

from harness import SANITIZER, get, wait_until

HANGS = """
import time
def spin():
    while True:
        pass
def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/sleep":
        this_function_sleeps()
    if path == "/spin":
        spin()
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
def this_function_sleeps():
    time.sleep(3600)
"""


def ask_and_be_let_down(port, path):
    """Returns how the hanging request ended for its client: a status line, or "closed"."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        try:
            return connection.recv(4096).split(b"\r\n")[0].decode() or "closed"
        except ConnectionResetError:
            return "reset"


def moment(event):
    """Wall-clock seconds of an event; the fraction has nine digits at most."""
    text, _, fraction = event["time"].rstrip("Z").partition(".")
    whole = datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.timezone.utc)
    return whole.timestamp() + float(f"0.{fraction or 0}")


SLOW = """
import time
def application(environ, start_response):
    time.sleep(4)
    start_response("200 OK", [])
    return [repr(environ["wsgi.multithread"]).encode()]
"""


def test_gthread_with_one_thread_is_not_ended_by_a_long_request(site):
    site.write("slow.py", SLOW)
    arbiter = site.start("-w", "1", "-k", "gthread", "--timeout", "1", "slow:application")
    before = arbiter.workers()
    answer = get(arbiter.port)
    assert (answer.status, answer.body) == (200, b"True")
    assert arbiter.workers() == before
    assert "Using worker: gthread" in arbiter.log()
    assert arbiter.status()["pools"][0]["workerClass"] == "gthread"


@pytest.mark.parametrize("options, path, frame, cause", [
    (["-k", "sync", "--timeout", "2"], "/sleep", "this_function_sleeps", "timeout"),
    (["-k", "sync", "--timeout", "2"], "/spin", "spin", "timeout"),
    (["-k", "gthread", "--threads", "3", "--request-timeout", "2"], "/sleep",
     "this_function_sleeps", "request-timeout"),
])
def test_a_hanging_request_is_ended_after_two_seconds(site, options, path, frame, cause):
    site.write("hangs.py", HANGS)
    arbiter = site.start("-w", "2", *options, "hangs:application")
    port = arbiter.port
    began = time.time()
    fate = ask_and_be_let_down(port, path)
    assert fate in ("closed", "HTTP/1.1 504 Gateway Timeout"), fate
    end = wait_until(arbiter.exits, "the worker's end")[0]
    took = moment(end) - began
    print(f"{cause} after {took:.2f} s")
    assert end["cause"] == cause
    assert 1.95 <= took < (20.0 if SANITIZER else 6.0)
    log = wait_until(lambda: frame in arbiter.log() and arbiter.log(), "the stack in the log")
    assert f"GET {path}" in log, "the log names the request"
    arbiter.wait_ready(2)
    assert get(port).body == b"ok"


@pytest.mark.parametrize("options", [
    ["-k", "sync", "--timeout", "2"],
    ["-k", "sync", "--request-timeout", "2"],
    ["-k", "gthread", "--threads", "3", "--request-timeout", "2"],
])
def test_a_request_that_had_no_answer_in_time_is_counted_and_logged_with_its_time(site, options):
    site.write("hangs.py", HANGS)
    log = site.root / "access.log"
    arbiter = site.start("-w", "1", *options, "--access-logfile", log, "--access-logformat",
                         "%(s)s %(U)s %(L)s", "hangs:application")
    assert get(arbiter.port).body == b"ok"
    assert ask_and_be_let_down(arbiter.port, "/sleep") == "HTTP/1.1 504 Gateway Timeout"
    wait_until(arbiter.exits, "the worker's end")
    pool = arbiter.status()["pools"][0]
    assert (pool["requestsTotal"], pool["errorsTotal"]) == ("2", "1"), pool
    status, path, seconds = log.read_text().splitlines()[-1].split()
    assert (status, path) == ("504", "/sleep") and float(seconds) > 1.9, seconds


def test_other_workers_serve_on_while_one_hangs(site):
    site.write("hangs.py", HANGS)
    arbiter = site.start("-w", "2", "--timeout", "2", "hangs:application")
    port = arbiter.port
    survivor_before = set(arbiter.workers())
    hanging = threading.Thread(target=ask_and_be_let_down, args=(port, "/sleep"))
    hanging.start()
    while hanging.is_alive():
        assert get(port).body == b"ok"
    hanging.join()
    wait_until(arbiter.exits, "the end of the one that hung")
    arbiter.wait_ready(2)
    assert len(survivor_before & set(arbiter.workers())) == 1
    assert len(arbiter.exits()) == 1


def test_threads_that_do_not_hang_are_not_ended(site):
    """A thread beyond no limit is left alone: in gthread `timeout` watches the worker, not requests."""
    site.write("slow.py", "import time\ndef application(environ, start_response):\n"
               "    time.sleep(float(environ['QUERY_STRING'] or 0))\n"
               "    start_response('200 OK', [('Content-Length', '2')])\n    return [b'ok']\n")
    arbiter = site.start("-k", "gthread", "--threads", "2", "--timeout", "2", "slow:application")
    assert get(arbiter.port, "/?5").body == b"ok"
    assert arbiter.exits() == []


def test_an_idle_worker_is_never_taken_for_a_hanging_one(site):
    arbiter = site.start("-w", "2", "--timeout", "3", "wsgi_test:application")
    before = arbiter.workers()
    deadline = time.monotonic() + 7
    wait_until(lambda: time.monotonic() > deadline, "twice the limit to pass")
    assert arbiter.workers() == before and arbiter.exits() == []


def test_a_worker_that_hangs_while_importing_is_ended_by_the_boot_timeout(site):
    site.write("stuck.py", "import time\ntime.sleep(3600)\n")
    arbiter = site.start("--boot-timeout", "2", "stuck:application", ready=False)
    assert arbiter.wait_exit() == 3, arbiter.log()
    assert "stuck.py" in arbiter.log() and "boot" in arbiter.log()
    site.assert_nothing_left()


def test_a_slow_client_gets_408_and_delays_nobody(site):
    arbiter = site.start("-w", "1", "--header-timeout", "1", "wsgi_test:application")
    with socket.create_connection(("127.0.0.1", arbiter.port), timeout=60) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nHost: te")
        assert get(arbiter.port).status == 200
        assert slow.recv(4096).startswith(b"HTTP/1.1 408 ")
