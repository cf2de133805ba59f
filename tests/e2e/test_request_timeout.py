# SPDX-License-Identifier: Apache-2.0
"""A request over its limit costs nobody else theirs: it is warned of in time, its client is told, its
worker finishes what it can and passes on the rest, and only then goes."""

import signal
import socket
import threading
import time

import pytest

from harness import SANITIZER, get, wait_until
from test_timeouts import moment
from wire import Wire

# Stays inside until a file is there; answers with its process's number.
APPLICATION = """
import os, time

def stay_inside(name):
    open(name + ".inside", "w").close()
    while not os.path.exists(name):
        time.sleep(0.01)

def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path.startswith("/stay/"):
        stay_inside(path[6:])
    if path == "/stream":
        start_response("200 OK", [])
        return stream()
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]

def stream():
    yield b"first"
    stay_inside("stream")
    yield b"last"
"""
THREADS = ["-k", "gthread", "--threads", "4", "--request-timeout", "2"]


class Visit(threading.Thread):
    """A request on its own connection, known to be inside the application."""

    def __init__(self, site, arbiter, name, path=None):
        super().__init__()
        self.site, self.port, self.name = site, arbiter.port, name
        self.path = path or f"/stay/{name}"
        self.began = time.time()
        self.bytes, self.took = b"", 0.0
        self.start()
        wait_until((site.app / f"{name}.inside").exists, f"{name} to be inside")

    def run(self):
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            connection.sendall(f"GET {self.path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
            try:
                while data := connection.recv(65536):
                    self.bytes += data
                    if b"\r\n\r\n" in self.bytes and b"Content-Length" in self.bytes:
                        break
            except ConnectionResetError:
                pass
        self.took = time.time() - self.began

    def release(self):
        self.site.write(self.name, "")

    def status(self):
        self.join()
        return int(self.bytes.split()[1]) if self.bytes else 0


@pytest.fixture(name="stays")
def fixture_stays(site):
    site.write("stays.py", APPLICATION)
    return site


def in_time(seconds, limit):
    return limit - 0.05 <= seconds < (limit + 20 if SANITIZER else limit + 3)


def kinds(arbiter, kind):
    return [event for event in arbiter.events() if event["kind"] == kind]


def test_the_other_threads_finish_and_idle_connections_go_on_elsewhere(stays):
    arbiter = stays.start(*THREADS, "--keep-alive", "30", "stays:application")
    old, = arbiter.workers()
    with Wire(arbiter.port) as idle:
        assert int(idle.get().body) == old
        stuck = Visit(stays, arbiter, "stuck")
        started = time.time()
        wait_until(lambda: time.time() - started > 1, "the limit to come nearer")
        other = Visit(stays, arbiter, "other")
        assert stuck.status() == 504, stuck.bytes
        assert in_time(stuck.took, 2), stuck.took
        # While the old worker waits for the other request, its successor serves.
        answered_by = int(idle.get().body)
        assert answered_by != old, "the idle connection went on with another worker"
        other.release()
        assert other.status() == 200 and other.bytes.endswith(str(old).encode()), other.bytes
    end, = wait_until(arbiter.exits, "the worker's end")
    assert (end["pid"], end["cause"]) == (old, "request-timeout"), end
    spawned = [event["sequence"] for event in kinds(arbiter, "WORKER_SPAWNED")]
    assert int(spawned[1]) < int(end["sequence"]), "its place was filled before it ended"
    log = arbiter.log()
    assert "GET /stay/stuck" in log and "in stay_inside" in log, log
    arbiter.wait_ready(1)


def test_a_worker_with_nothing_else_to_do_ends_at_once(stays):
    arbiter = stays.start(*THREADS, "stays:application")
    stuck = Visit(stays, arbiter, "stuck")
    assert stuck.status() == 504
    end, = wait_until(arbiter.exits, "the worker's end")
    assert end["cause"] == "request-timeout" and in_time(moment(end) - stuck.began, 2), end


def test_an_answer_that_has_begun_is_cut_and_not_completed(stays):
    arbiter = stays.start(*THREADS, "stays:application")
    stream = Visit(stays, arbiter, "stream", "/stream")
    assert stream.status() == 200
    assert b"first" in stream.bytes and not stream.bytes.endswith(b"0\r\n\r\n"), stream.bytes
    assert wait_until(arbiter.exits, "the worker's end")[0]["cause"] == "request-timeout"


def test_an_answer_that_ends_with_its_connection_is_cut_by_a_reset(stays):
    """Otherwise the client would take the part that it has for the whole."""
    arbiter = stays.start(*THREADS, "stays:application")
    with Wire(arbiter.port) as client:
        client.send("GET /stream HTTP/1.0\r\n\r\n")
        while b"first" not in client.pending:
            assert client.fill(), client.pending
        with pytest.raises(ConnectionResetError):
            client.fill()


def test_other_requests_are_waited_for_no_longer_than_graceful_timeout(stays):
    arbiter = stays.start(*THREADS[:-1], "3", "--graceful-timeout", "1", "stays:application")
    stuck = Visit(stays, arbiter, "stuck")
    wait_until(lambda: time.time() - stuck.began > 2, "the limit to come nearer")
    other = Visit(stays, arbiter, "other")
    end, = wait_until(arbiter.exits, "the worker's end")
    assert end["cause"] == "request-timeout" and in_time(moment(end) - stuck.began, 4), end
    assert stuck.status() == 504 and other.status() in (0, 504)


def test_a_second_request_over_its_limit_is_told_so_too(stays):
    arbiter = stays.start(*THREADS, "stays:application")
    first = Visit(stays, arbiter, "first")
    wait_until(lambda: time.time() - first.began > 0.7, "some time to pass")
    second = Visit(stays, arbiter, "second")
    wait_until(lambda: time.time() - second.began > 0.7, "some time to pass")
    third = Visit(stays, arbiter, "third")
    assert first.status() == second.status() == third.status() == 504
    assert in_time(second.took, 2) and in_time(third.took, 2)
    end, = wait_until(arbiter.exits, "the worker's end")
    assert end["cause"] == "request-timeout" and len(kinds(arbiter, "WORKER_STUCK")) == 3


def test_requests_behind_a_lone_sync_worker_that_hangs_are_answered_by_its_successor(stays):
    arbiter = stays.start("-w", "1", "--request-timeout", "2", "--keep-alive", "30",
                          "stays:application")
    old, = arbiter.workers()
    with Wire(arbiter.port) as kept:
        assert int(kept.get().body) == old
        stuck = Visit(stays, arbiter, "stuck")
        kept.send("GET /behind HTTP/1.1\r\nHost: test\r\n\r\n")
        fresh = threading.Thread(target=lambda: get(arbiter.port))
        fresh.start()
        assert stuck.status() == 504
        assert int(kept.answer().body) != old
        fresh.join()
    assert wait_until(arbiter.exits, "the worker's end")[0]["cause"] == "request-timeout"


@pytest.mark.parametrize("options", [["-k", "sync"], ["-k", "gthread", "--threads", "2"]],
                         ids=["sync", "gthread"])
def test_a_slow_request_is_warned_of_once_with_its_stack(stays, options):
    arbiter = stays.start(*options, "--request-timeout", "8", "--request-timeout-soft", "0.1",
                          "stays:application")
    slow = Visit(stays, arbiter, "slow")
    event, = wait_until(lambda: kinds(arbiter, "REQUEST_SLOW"), "the warning")
    assert "GET /stay/slow has taken " in event["text"] and "its limit is 8 s" in event["text"], event
    assert "in stay_inside" in event["text"] and event["pid"] == arbiter.workers()[0], event
    assert in_time(moment(event) - slow.began, 0.8), event
    line = arbiter.wait_for_log(r"\[WARNING\] SLOW REQUEST .*GET /stay/slow has taken")
    assert "stay_inside" in arbiter.log()[line.start():]
    again = Visit(stays, arbiter, "again") if "gthread" in options else None
    if again:
        wait_until(lambda: len(kinds(arbiter, "REQUEST_SLOW")) == 2, "the other one's warning")
        again.release()
        assert again.status() == 200
    slow.release()
    assert slow.status() == 200, "a warning does no harm"
    texts = [event["text"] for event in kinds(arbiter, "REQUEST_SLOW")]
    assert len([text for text in texts if "/stay/slow" in text]) == 1, texts
    assert arbiter.exits() == []
    assert "request slow" in arbiter.cornctl("events").stdout


@pytest.mark.parametrize("share", ["0", "1"])
def test_the_warning_can_be_switched_off(stays, share):
    arbiter = stays.start(*THREADS, "--request-timeout-soft", share, "stays:application")
    assert Visit(stays, arbiter, "stuck").status() == 504
    wait_until(arbiter.exits, "the worker's end")
    assert kinds(arbiter, "REQUEST_SLOW") == []


def test_a_shutdown_waits_for_the_requests_that_such_a_worker_finishes(stays):
    arbiter = stays.start(*THREADS, "stays:application")
    stuck = Visit(stays, arbiter, "stuck")
    wait_until(lambda: time.time() - stuck.began > 1, "the limit to come nearer")
    other = Visit(stays, arbiter, "other")
    assert stuck.status() == 504
    arbiter.send(signal.SIGTERM)
    arbiter.wait_for_log("graceful shutdown")
    other.release()
    assert other.status() == 200
    assert arbiter.wait_exit() == 0
    stays.assert_nothing_left()
