# SPDX-License-Identifier: Apache-2.0
"""The worker class asgi: what an application is told, what becomes of what it sends, and what holds of
every worker class."""

import json
import os
import shutil
import signal
import threading

import pytest

from harness import APPLICATIONS, BIN, SANITIZER, get, needs, wait_until
from load import Load
from wire import Wire

LIFESPAN = """
async def application(scope, receive, send):
    assert scope["type"] == "lifespan"
    await receive()
    {body}
"""
NO_LIFESPAN = """
async def application(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})
"""
WSGI = "def application(environ, start_response):\n    pass\n"


@pytest.fixture(params=["asyncio", "uvloop"])
def loop(request):
    if request.param == "uvloop":
        needs("python3:uvloop")
    return ["-k", "asgi", "--asgi-loop", request.param]


@pytest.fixture
def serve(site):
    shutil.copy(APPLICATIONS / "asgi_cases.py", site.app)

    def start(*arguments, workers="1", **options):
        return site.start("-w", workers, *(arguments or ("-k", "asgi")),
                          "asgi_cases:application", **options)
    return start


def notes(site):
    path = site.app / "notes.txt"
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def wait_for_note(site, text):
    return wait_until(lambda: text in notes(site), f"the application to note {text!r}")


def connections(arbiter):
    return sum(int(worker["inFlight"]) for pool in arbiter.status()["pools"]
               for worker in pool["workers"])


# ---- what the application is told ----

def test_the_scope_says_what_was_asked(serve, loop):
    arbiter = serve(*loop, "--root-path", "/mounted")
    with Wire(arbiter.port) as wire:
        scope = wire.get("/scope/%C3%A4%20b?x=1&y=%20", "X-Name: Value\r\nX-NAME: Other\r\n").json()
        client_port = wire.socket.getsockname()[1]
    assert scope["type"] == "http" and scope["asgi"] == {"version": "3.0", "spec_version": "2.3"}
    assert scope["http_version"] == "1.1" and scope["method"] == "GET" and scope["scheme"] == "http"
    assert scope["path"] == "/scope/ä b" and scope["raw_path"] == "/scope/%C3%A4%20b"
    assert scope["query_string"] == "x=1&y=%20" and scope["root_path"] == "/mounted"
    assert scope["headers"] == [["host", "test"], ["x-name", "Value"], ["x-name", "Other"]]
    assert scope["server"] == ["127.0.0.1", arbiter.port]
    assert scope["client"] == ["127.0.0.1", client_port]
    assert scope["state"] == {"started_by": arbiter.workers()[0]}


def test_a_unix_socket_has_a_path_and_no_client(serve, site):
    path = str(site.root / "socket")
    arbiter = serve("-k", "asgi", bind=f"unix:{path}")
    with Wire(path) as wire:
        scope = wire.get("/scope").json()
    assert scope["server"] == [path, None] and scope["client"] is None
    assert arbiter.stop() == 0


def test_bodies_come_in_pieces_and_whole(serve, loop):
    port = serve(*loop).port
    assert json.loads(get(port, "/count", "POST", b"x" * 10).body) == {"bytes": 10, "messages": 1}
    big = json.loads(get(port, "/count", "POST", b"x" * 3_000_000).body)
    assert big["bytes"] == 3_000_000 and big["messages"] > 3
    assert json.loads(get(port, "/count").body) == {"bytes": 0, "messages": 1}


def test_a_body_is_passed_on_before_its_end(serve):
    with Wire(serve().port) as wire:
        wire.send("POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in (b"one", b"two", b"three"):
            wire.send(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            if piece == b"one":
                assert "200 OK" in wire.read_head()
            assert wire.take(len(f"{len(piece):x}\r\n")) == f"{len(piece):x}\r\n".encode()
            assert wire.take(len(piece) + 2) == piece + b"\r\n"
        wire.send("0\r\n\r\n")
        assert wire.take(5) == b"0\r\n\r\n"
        assert wire.get("/").body == b"Hello World"


def test_100_continue_comes_when_the_body_is_wanted(serve):
    with Wire(serve().port) as wire:
        wire.send("POST /count HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n"
                  "Expect: 100-continue\r\n\r\n")
        assert "100 Continue" in wire.read_head()
        wire.send("body")
        assert wire.answer().json()["bytes"] == 4


def test_a_body_of_100_mb_costs_little_memory(serve):
    arbiter = serve()
    worker = arbiter.workers()[0]
    with Wire(arbiter.port) as wire:
        wire.send(f"POST /wait HTTP/1.1\r\nHost: test\r\nContent-Length: {100 << 20}\r\n\r\n")
        wire.socket.settimeout(2)
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < 100 << 20:  # the application doesn't read: soon nothing more is taken
                sent += wire.socket.send(b"x" * 65536)
        assert sent < 50 << 20
    assert arbiter.workers() == [worker]


# ---- what becomes of what it sends ----

def test_answers_of_every_shape(serve, loop):
    with Wire(serve(*loop).port) as wire:
        answer = wire.get("/list")
        assert answer.status == 201 and "201 Created" in answer.head
        assert answer.headers["x-one"] == "1" and answer.body == b"array view"
        answer = wire.get("/")
        assert answer.headers["content-length"] == "11" and answer.body == b"Hello World"
        assert wire.get("/", method="HEAD").body == b""
        assert wire.get("/pieces/3").body == b"x" * (3 * 65536)
        assert [wire.get("/context").body for _ in range(3)] == [b"1"] * 3
        assert wire.get("/tasks").body == b"answered"


def test_failures_are_answered_500_and_logged(serve, loop):
    arbiter = serve(*loop)
    for path, logged in (("/raise", "RuntimeError: meant to fail"),
                         ("/nothing", "returned without an answer"),
                         ("/twice", "'http.response.start' was sent before"),
                         ("/injection", "ValueError")):
        answer = get(arbiter.port, path)
        assert answer.status == 500, path
        arbiter.wait_for_log(logged)
    assert "Set-Cookie" not in str(answer.headers)
    arbiter.wait_for_log(r"Error handling request GET /raise\nTraceback")
    assert get(arbiter.port).body == b"Hello World"


def test_an_answer_that_breaks_off_is_seen_to_be_broken(serve):
    arbiter = serve()
    for path in ("/raise-late", "/short"):
        with Wire(arbiter.port) as wire, pytest.raises((AssertionError, ConnectionResetError)):
            wire.get(path)
    arbiter.wait_for_log("meant to fail late")
    assert arbiter.exits() == []


def test_pipelined_requests_are_answered_in_order(serve):
    with Wire(serve().port) as wire:
        wire.send("".join(f"GET /query?{number} HTTP/1.1\r\nHost: test\r\n\r\n"
                          for number in range(50)))
        assert [wire.answer().body for _ in range(50)] == [b"%d" % n for n in range(50)]


def test_a_client_that_does_not_read_stops_the_application(serve, site):
    with Wire(serve().port, receive_buffer=4096) as wire:
        wire.send("GET /pieces/400 HTTP/1.1\r\nHost: test\r\n\r\n")
        wait_for_note(site, "sent 0")
        with Wire(site.arbiters[0].port) as other:  # the loop is free meanwhile
            assert other.get("/sleep/0.5").body == b"slept"
        assert len(notes(site)) < 300
        assert len(wire.answer().body) == 400 * 65536
    wait_for_note(site, "sent 399")


def test_many_requests_are_inside_at_once(serve):
    arbiter = serve()
    wires = [Wire(arbiter.port) for _ in range(100)]
    for wire in wires:
        wire.send("GET /sleep/1.5 HTTP/1.1\r\nHost: test\r\n\r\n")
    wait_until(lambda: connections(arbiter) == 100, "100 requests to be inside")
    for wire in wires:
        assert wire.answer().body == b"slept"
        wire.socket.close()
    assert connections(arbiter) == 0
    assert int(arbiter.status()["pools"][0]["requestsTotal"]) == 100


def test_work_after_the_answer_keeps_nobody_waiting(serve, site):
    arbiter = serve()
    with Wire(arbiter.port) as wire:
        assert wire.get("/background/1").body == b"answered"
        assert wire.get("/").body == b"Hello World"
        assert "finished in the background" not in notes(site)
    assert arbiter.stop() == 0
    assert notes(site)[-2:] == ["finished in the background", "shutdown"]


# ---- clients that go away ----

@pytest.mark.parametrize("half", [False, True], ids=["closed", "half-closed"])
def test_a_client_that_leaves_is_noticed(serve, site, loop, half):
    arbiter = serve(*loop)
    wire = Wire(arbiter.port)
    wire.send("GET /disconnect HTTP/1.1\r\nHost: test\r\n\r\n")
    wait_for_note(site, "waiting")
    if half:
        wire.socket.shutdown(1)
    else:
        wire.socket.close()
    wait_for_note(site, "http.disconnect")
    wire.socket.close()
    assert get(arbiter.port).status == 200
    assert "ERROR" not in arbiter.log()


@pytest.mark.parametrize("grace", ["0", "0.3"])
def test_a_task_whose_client_left_is_cancelled(serve, site, grace):
    arbiter = serve("-k", "asgi", "--asgi-disconnect-grace-period", grace)
    with Wire(arbiter.port) as wire:
        wire.send("GET /wait HTTP/1.1\r\nHost: test\r\n\r\n")
        wait_for_note(site, "waiting")
    wait_for_note(site, "cancelled")
    wait_until(lambda: connections(arbiter) == 0, "the request to be over")
    assert "Traceback" not in arbiter.log()


def test_a_half_closed_client_still_gets_its_answer(serve):
    with Wire(serve().port) as wire:
        wire.send("GET /query?1 HTTP/1.1\r\nHost: test\r\n\r\nGET /sleep/0.2 HTTP/1.1\r\nHost: t\r\n\r\n")
        wire.socket.shutdown(1)
        assert wire.answer().body == b"1"
        assert wire.answer().body == b"slept"


# ---- the lifespan ----

def test_a_failing_startup_is_a_failed_boot(site):
    site.write("app.py", LIFESPAN.format(
        body="await send({'type': 'lifespan.startup.failed', 'message': 'no database'})"))
    arbiter = site.start("-k", "asgi", "app:application", ready=False)
    assert arbiter.wait_exit() == 4
    assert "the application's startup failed: no database" in arbiter.log()
    site.assert_nothing_left()


def test_a_raising_lifespan_is_a_failed_boot_where_it_is_on(site):
    site.write("app.py", LIFESPAN.format(body="raise RuntimeError('no database')"))
    arbiter = site.start("-k", "asgi", "--asgi-lifespan", "on", "app:application", ready=False)
    assert arbiter.wait_exit() == 4
    assert "RuntimeError: no database" in arbiter.log() and "app.py" in arbiter.log()


@pytest.mark.parametrize("mode", ["auto", "off"])
def test_an_application_without_lifespan_serves(site, mode):
    site.write("app.py", NO_LIFESPAN)
    arbiter = site.start("-k", "asgi", "--asgi-lifespan", mode, "app:application")
    assert get(arbiter.port).body == b"ok"
    assert arbiter.stop() == 0
    assert "ERROR" not in arbiter.log()


def test_startup_and_shutdown_come_once_a_worker(serve, site):
    arbiter = serve(workers="2")
    assert arbiter.stop() == 0
    assert sorted(notes(site)) == ["shutdown"] * 2 + ["startup"] * 2


def test_a_reload_whose_startup_fails_leaves_the_old_workers(serve, site):
    arbiter = serve(workers="2")
    before = arbiter.workers()
    site.write("asgi_cases.py", LIFESPAN.format(
        body="await send({'type': 'lifespan.startup.failed', 'message': 'no database'})"))
    result = arbiter.cornctl("reload")
    assert result.returncode == 1 and "no database" in result.stdout + result.stderr
    assert arbiter.workers() == before and get(arbiter.port).body == b"Hello World"


def test_a_check_imports_but_does_not_start(site):
    shutil.copy(APPLICATIONS / "asgi_cases.py", site.app)
    result = site.run_arbiter("-k", "asgi", "--check-config", "asgi_cases:application")
    assert result.returncode == 0, result
    assert notes(site) == []


def test_applications_of_the_other_kind_are_refused(site):
    site.write("app.py", WSGI)
    arbiter = site.start("-k", "asgi", "app:application", ready=False)
    assert arbiter.wait_exit() == 4
    assert "is a WSGI application" in arbiter.log()


@pytest.mark.parametrize("name", ["uvicorn.workers.UvicornWorker",
                                  "gunicorn.workers.gasgi.ASGIWorker"])
def test_class_paths_are_taken_for_asgi(serve, name):
    arbiter = serve("-k", name)
    assert "Using worker: asgi" in arbiter.log()
    assert get(arbiter.port).body == b"Hello World"


# ---- what holds of every worker class ----

def test_reloads_and_recycling_lose_nothing(serve):
    arbiter = serve("-k", "asgi", "--max-requests", "500", "--max-requests-jitter", "100",
                    workers="2")
    with Load(arbiter.port, target="/query?{id}") as load:
        for number in range(1, 6):
            arbiter.send(signal.SIGHUP)
            wait_until(lambda wanted=number: int(arbiter.status()["arbiter"]["reloads"]) >= wanted,
                       f"reload {number}")
            load.wait_for(200)
    load.assert_nobody_noticed()
    assert {event["cause"] for event in arbiter.exits()} <= {"reloaded", "max-requests"}


def test_a_graceful_shutdown_answers_what_is_inside(serve, site):
    arbiter = serve()
    with Wire(arbiter.port) as wire:
        wire.send("GET /sleep/1 HTTP/1.1\r\nHost: test\r\n\r\n")
        wait_for_note(site, "sleeping")
        arbiter.send(signal.SIGTERM)
        assert wire.answer().body == b"slept"
    assert arbiter.wait_exit() == 0
    site.assert_nothing_left()


def test_the_graceful_timeout_cuts_off_what_does_not_end(serve, site):
    arbiter = serve("-k", "asgi", "--graceful-timeout", "1")
    with Wire(arbiter.port) as wire:
        wire.send("GET /wait HTTP/1.1\r\nHost: test\r\n\r\n")
        wait_for_note(site, "waiting")
        assert arbiter.stop() == 0
    assert notes(site)[-2:] == ["cancelled", "shutdown"]


def test_a_blocked_loop_is_ended_by_the_timeout(serve):
    arbiter = serve("-k", "asgi", "--timeout", "2", workers="2")
    with Wire(arbiter.port) as wire:
        answer = wire.get("/block/3600")
    assert answer.status == 504
    end = wait_until(arbiter.exits, "the worker's end")[0]
    assert end["cause"] == "timeout"
    assert "this_function_blocks" in arbiter.log() and "GET /block/3600" in arbiter.log()
    arbiter.wait_ready(2)


def test_a_request_over_its_limit_is_answered_504(serve):
    arbiter = serve("-k", "asgi", "--request-timeout", "1")
    with Wire(arbiter.port) as wire:
        assert wire.get("/sleep/3600").status == 504
    assert wait_until(arbiter.exits, "the worker's end")[0]["cause"] == "request-timeout"
    pool = arbiter.status()["pools"][0]
    assert (pool["requestsTotal"], pool["errorsTotal"]) == ("1", "1"), pool


def test_a_waiting_application_is_not_taken_for_a_hanging_one(serve):
    arbiter = serve("-k", "asgi", "--timeout", "1")
    assert get(arbiter.port, "/sleep/3").body == b"slept"
    assert arbiter.exits() == []


def test_a_dump_shows_what_the_loop_is_in(serve):
    arbiter = serve()
    wire = Wire(arbiter.port)
    wire.send("GET /block/8 HTTP/1.1\r\nHost: test\r\n\r\n")
    worker = str(arbiter.workers()[0])
    wait_until(lambda: connections(arbiter) == 1, "the request to be inside")
    dump = arbiter.cornctl("dump", worker)
    assert "this_function_blocks" in dump.stdout and "GET /block/8" in dump.stdout, dump
    assert wire.answer().body == b"slept"
    wire.socket.close()


@pytest.mark.skipif(bool(SANITIZER), reason="sanitizers have threads of their own that wake up")
def test_an_idle_worker_sleeps(serve):
    arbiter = serve()
    assert get(arbiter.port).status == 200
    worker = arbiter.workers()[0]

    def switches():
        return sum(int(line.split()[1]) for task in os.listdir(f"/proc/{worker}/task")
                   for line in open(f"/proc/{worker}/task/{task}/status", encoding="utf-8")
                   if line.startswith("voluntary_ctxt_switches"))
    timer = threading.Event()
    timer.wait(3)  # keep-alive and log are seen to
    before = switches()
    timer.wait(3)
    assert switches() - before <= 6


def test_requests_are_logged(serve, site):
    arbiter = serve("-k", "asgi", "--access-logfile", "-")
    get(arbiter.port, "/query?x")
    get(arbiter.port, "/raise")
    wait_until(lambda: '"GET /query?x HTTP/1.1" 200 1' in arbiter.output()
               and '"GET /raise HTTP/1.1" 500' in arbiter.output(), "two lines in the access log")


KEPT = """
kept = []
async def application(scope, receive, send):
    assert scope["type"] == "http"
    if scope["path"] == "/cycle":
        scope["myself"], scope["end"] = scope, (receive, send)
    else:
        kept.append((receive, send))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while scope["path"] == "/endless":
        await send({"type": "http.response.body", "body": b"more", "more_body": True})
    await send({"type": "http.response.body", "body": b"ok"})
"""


def test_what_an_application_keeps_does_not_disturb_the_workers_end(site, loop):
    site.write("kept.py", KEPT)
    arbiter = site.start("-w", "1", *loop, "--graceful-timeout", "1", "kept:application")
    for path in ("/cycle", "/kept"):
        assert get(arbiter.port, path).body == b"ok"
    with Wire(arbiter.port) as wire:
        wire.send("GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
        wire.read_head()
        arbiter.send(signal.SIGHUP)
        end = wait_until(arbiter.exits, "the worker's end")[0]
    assert end["cause"] == "reloaded"
    get(arbiter.port, "/cycle")
    assert arbiter.stop() == 0
    assert "crashed" not in arbiter.log()


def test_uvloop_must_be_there_where_it_is_wanted(site):
    shutil.copy(APPLICATIONS / "asgi_cases.py", site.app)
    site.write("uvloop.py", "raise ImportError\n")
    arbiter = site.start("-k", "asgi", "--asgi-loop", "uvloop", "asgi_cases:application",
                         ready=False)
    assert arbiter.wait_exit() == 3
    assert "asgi_loop is uvloop, which is not installed" in arbiter.log()
    assert (BIN / "workerd").exists()
