# SPDX-License-Identifier: Apache-2.0
"""Connections seen from the client: how long they are kept, what goes back and forth on them, and
what many or slow ones cost the others."""

import os
import resource
import signal
import socket

import pytest

from harness import ECHO_QUERY, PATIENCE, SANITIZER, rss_bytes, wait_until
from wire import MIRROR, Wire, calls

MEASURES_MEMORY = pytest.mark.skipif(
    bool(SANITIZER), reason="an instrumented program's memory says nothing of the real one's")

CLASSES = pytest.mark.parametrize("worker_class", [["-k", "sync"],
                                                   ["-k", "gthread", "--threads", "4"]],
                                  ids=["sync", "gthread"])

# Answers by path.
SHAPES = """
import os, time

def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/ignore":
        start_response("200 OK", [("Content-Length", "7")])
        return [b"ignored"]
    if path.startswith("/status/"):
        start_response(path.rpartition("/")[2] + " Whatever", [])
        return []
    if path == "/chunks":
        start_response("200 OK", [])
        return (b"chunk %d\\n" % number for number in range(100))
    if path == "/large":
        size = int(environ["QUERY_STRING"])
        start_response("200 OK", [("Content-Length", str(size))])
        return (b"x" * 65536 for _ in range(size // 65536))
    if path == "/fork":
        child = os.fork()
        if child == 0:
            held = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")
                    if os.path.islink(f"/proc/self/fd/{fd}")]
            with open("held.new", "w") as file:
                file.write("\\n".join(held))
            os.rename("held.new", "held.txt")
            while not os.path.exists("end"):
                time.sleep(0.02)
            os._exit(0)
        start_response("200 OK", [("X-Child", str(child))])
        return [b"forked"]
    if path == "/upload":
        body = environ["wsgi.input"]
        size = len(body.read(1))
        files = "\\n".join(os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")
                          if os.path.islink(f"/proc/self/fd/{fd}"))
        while data := body.read(65536):
            size += len(data)
        answer = f"{size}\\n{files}".encode()
        start_response("200 OK", [("Content-Length", str(len(answer)))])
        return [answer]
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]
"""


def start(site, *arguments):
    site.write("shapes.py", SHAPES)
    return site.start(*arguments, "shapes:application")


# ---- keeping and ending ----

@CLASSES
def test_a_hundred_pipelined_requests_in_one_write_are_answered_in_order(site, worker_class):
    site.write("echo.py", ECHO_QUERY)
    arbiter = site.start(*worker_class, "echo:application")
    with Wire(arbiter.port) as wire:
        wire.send("".join(f"GET /?{n} HTTP/1.1\r\nHost: test\r\n\r\n" for n in range(100)))
        assert [wire.answer().body for _ in range(100)] == [str(n).encode() for n in range(100)]


@pytest.mark.parametrize("version, connection, kept", [
    ("1.1", None, True),
    ("1.1", "close", False),
    ("1.1", "Foo,, CLOSE , bar", False),
    ("1.1", "keep-alive, Foo", True),
    ("1.0", None, False),
    ("1.0", "Foo, Keep-Alive", True),
])
def test_the_connection_field_is_a_list(site, version, connection, kept):
    arbiter = start(site)
    field = f"Connection: {connection}\r\n" if connection else ""
    with Wire(arbiter.port) as wire:
        wire.send(f"GET / HTTP/{version}\r\nHost: test\r\n{field}\r\n")
        answer = wire.answer()
        assert answer.body == b"hello"
        if kept:
            assert wire.get().body == b"hello"
        else:
            assert wire.ended()
        if version == "1.0":
            assert answer.headers["connection"] == ("keep-alive" if kept else "close")


@CLASSES
def test_answers_without_a_body_leave_the_connection_in_order(site, worker_class):
    arbiter = start(site, *worker_class)
    with Wire(arbiter.port) as wire:
        for target in ("/", "/chunks", "/large?6553600"):
            head = wire.get(target, method="HEAD")
            assert head.status == 200 and head.body == b""
        for status in (204, 304):
            answer = wire.get(f"/status/{status}")
            assert answer.status == status
            assert "transfer-encoding" not in answer.headers
            assert "content-length" not in answer.headers or status == 304
        answer = wire.get("/chunks")
        assert answer.body.count(b"\n") == 100 and "content-length" not in answer.headers
        assert wire.get().body == b"hello"


def test_a_100_continue_is_sent_when_the_application_reads_and_not_before(site):
    site.write("mirror.py", MIRROR)
    arbiter = site.start("mirror:application")
    with Wire(arbiter.port) as wire:
        wire.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        assert wire.answer().status == 100
        assert calls(site) == ["called POST /"]
        wire.send("body")
        assert wire.answer().json()["body"] == "body"
        assert wire.get().status == 200


def test_no_100_continue_where_the_application_does_not_read(site):
    arbiter = start(site)
    with Wire(arbiter.port) as wire:
        wire.send("POST /ignore HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                  "Content-Length: 4\r\n\r\n")
        answer = wire.answer()
        assert answer.status == 200 and answer.body == b"ignored"
        # Whether the client sends its body now, nobody can know.
        assert answer.headers["connection"] == "close"
        assert wire.ended()


@CLASSES
def test_an_answer_survives_a_large_body_that_nobody_reads(site, worker_class):
    arbiter = start(site, *worker_class)
    size = 64 << 20
    with Wire(arbiter.port) as wire:
        wire.send(f"POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n")
        piece = b"x" * (1 << 20)
        try:
            for _ in range(size // len(piece)):
                wire.send(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the answer is there all the same
        answer = wire.answer()
        assert answer.status == 200 and answer.body == b"ignored"


# ---- large and slow ----

@MEASURES_MEMORY
def test_a_body_beyond_body_memory_goes_to_a_file_without_a_name(site):
    spool = site.root / "spool"
    spool.mkdir()
    site.write("site.toml", f'[pool.web]\nwsgi_app = "shapes:application"\nbind = "127.0.0.1:0"\n'
               f'body_memory = "64K"\ntmp_upload_dir = "{spool}"\n')
    site.write("shapes.py", SHAPES)
    arbiter = site.start("-c", "site.toml", bind=None)
    worker = arbiter.workers()[0]
    with Wire(arbiter.port) as wire:
        assert wire.get().status == 200
        before = rss_bytes(worker)
        size = 32 << 20
        wire.send(f"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n")
        for _ in range(32):
            wire.send(b"x" * (1 << 20))
        answer = wire.answer()
    count, _, files = answer.body.decode().partition("\n")
    assert int(count) == size
    assert f"{spool}/" in files and "(deleted)" in files
    assert list(spool.iterdir()) == []
    assert rss_bytes(worker) - before < 8 << 20


@MEASURES_MEMORY
@CLASSES
def test_a_slow_reader_of_a_large_answer_costs_bounded_memory(site, worker_class):
    arbiter = start(site, *worker_class)
    worker = arbiter.workers()[0]
    size = 64 << 20
    with Wire(arbiter.port) as warm_up:
        assert len(warm_up.get(f"/large?{size}").body) == size
    before = rss_bytes(worker)
    with Wire(arbiter.port, receive_buffer=4096) as slow:
        slow.send(f"GET /large?{size} HTTP/1.1\r\nHost: a\r\n\r\n")
        slow.read_head()
        if worker_class[1] == "gthread":  # the other threads serve on
            with Wire(arbiter.port) as other:
                assert other.get().body == b"hello"
        for _ in range(64):  # the application goes on as the client takes a little more
            slow.take(4096)
            assert rss_bytes(worker) - before < 8 << 20


@pytest.mark.parametrize("worker_class", [["-k", "sync"], ["-k", "gthread", "--threads", "2"]],
                         ids=["sync", "gthread"])
def test_two_thousand_idle_and_slow_connections_delay_nobody(site, worker_class):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 8192)), hard))
    site.write("echo.py", ECHO_QUERY)
    arbiter = site.start(*worker_class, "--worker-connections", "4000", "--keep-alive", "600",
                         "--timeout", "600", "echo:application")
    idle = []
    try:
        for number in range(2000):
            wire = Wire(arbiter.port)
            idle.append(wire)
            if number % 2:  # kept alive, waiting for nothing
                wire.send(f"GET /?{number} HTTP/1.1\r\nHost: a\r\n\r\n")
            else:  # in the middle of a head
                wire.send("GET / HTTP/1.1\r\nHo")
        for number in range(1, 2000, 2):
            assert idle[number].answer().body == str(number).encode()
        with Wire(arbiter.port) as other:
            for number in range(500):
                assert other.get(f"/?{number}").body == str(number).encode()
                with Wire(arbiter.port) as fresh:
                    assert fresh.get(f"/?{number}", "Connection: close\r\n").status == 200
                idle[number * 4].send("s")  # a little more of a field's name
        # None of them was dropped for that.
        assert idle[1].get("/?again").body == b"again"
        idle[0].send("ent: 1\r\n\r\n")
        assert idle[0].answer().status == 200
        assert arbiter.exits() == []
    finally:
        for wire in idle:
            wire.socket.close()


@CLASSES
def test_idle_connections_make_room_for_newcomers_at_the_limit(site, worker_class):
    arbiter = start(site, *worker_class, "--worker-connections", "20", "--keep-alive", "600",
                    "--timeout", "600")
    idle = []
    try:
        for number in range(60):
            idle.append(Wire(arbiter.port))  # more than fit
            if number % 2:
                assert idle[-1].get().body == b"hello"
        for _ in range(20):
            with Wire(arbiter.port) as fresh:
                assert fresh.get().body == b"hello"
        assert "worker_connections" in arbiter.log()
        assert arbiter.exits() == []
    finally:
        for wire in idle:
            wire.socket.close()


# ---- processes of the application's own ----

@CLASSES
def test_a_forked_child_holds_none_of_the_engines_sockets(site, worker_class):
    arbiter = start(site, *worker_class)
    try:
        with Wire(arbiter.port) as bystander, Wire(arbiter.port) as wire:
            assert bystander.get().status == 200
            # The end of this answer is the end of the connection, which the child must not hold up.
            wire.send("GET /fork HTTP/1.0\r\n\r\n")
            answer = wire.answer()
            assert answer.body == b"forked" and "content-length" in answer.headers or wire.ended()
            child = int(answer.headers["x-child"])
            held = wait_until(lambda: (site.app / "held.txt").exists()
                              and (site.app / "held.txt").read_text(), "the child's descriptors")
            worker = arbiter.workers()[0]
            own = {os.readlink(f"/proc/{worker}/fd/{fd}") for fd in os.listdir(f"/proc/{worker}/fd")}
            table = tcp_inodes(arbiter.port)
            assert table & own, "the worker has its listener and the bystander"
            assert not table & set(held.split("\n"))
            assert "anon_inode:[eventpoll]" not in held
            assert bystander.get().status == 200
            # It outlives the worker, and the arbiter too; the port is free all the same.
            port = arbiter.port
            assert arbiter.stop() == 0
            assert os.path.exists(f"/proc/{child}")
            with socket.socket() as again:
                again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                again.bind(("127.0.0.1", port))
                again.listen()
    finally:
        (site.app / "end").touch()


def tcp_inodes(port):
    """The sockets of this machine's end of connections to and listeners at the port."""
    inodes = set()
    with open("/proc/net/tcp", encoding="ascii") as table:
        for line in list(table)[1:]:
            fields = line.split()
            if int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    return inodes


@CLASSES
def test_clients_of_a_killed_worker_see_the_end_although_a_child_lives_on(site, worker_class):
    arbiter = start(site, *worker_class)
    try:
        with Wire(arbiter.port) as wire:
            assert wire.get("/fork").body == b"forked"
            os.kill(arbiter.workers()[0], signal.SIGKILL)
            wire.socket.settimeout(PATIENCE)
            try:
                assert wire.ended()
            except ConnectionResetError:
                pass
    finally:
        (site.app / "end").touch()
