# SPDX-License-Identifier: Apache-2.0
"""The worker class gevent: many requests on one thread, each on a greenlet, and what holds of every
worker class. PEP 3333 is in test_wsgi.py, for this class too."""

import json
import shutil
import signal
import threading
import time

import pytest

from harness import APPLICATIONS, SANITIZER, get, needs, wait_until
from load import Load
from wire import Wire

pytestmark = pytest.mark.skipif(
    "address" in SANITIZER, reason="greenlets move stacks, which AddressSanitizer doesn't know")

PIECES = 1300  # of 64 KiB: more than memory and disk keep for a client that doesn't read


@pytest.fixture
def serve(site):
    needs("python3:gevent")
    shutil.copy(APPLICATIONS / "gevent_cases.py", site.app)

    def start(*arguments, workers="1", kind="gevent", **options):
        return site.start("-w", workers, "-k", kind, *arguments, "gevent_cases:application",
                          **options)
    return start


def notes(site):
    path = site.app / "notes.txt"
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def wait_for_note(site, text):
    return wait_until(lambda: text in notes(site), f"the application to note {text!r}")


def inside(arbiter):
    return sum(int(worker["inFlight"]) for pool in arbiter.status()["pools"]
               for worker in pool["workers"])


def wait_inside(arbiter, count):
    wait_until(lambda: inside(arbiter) == count, f"{count} requests to be inside")


def ask(wire, target, body=b"", length=None):
    """Sends a POST whose body may be only begun."""
    length = len(body) if length is None else length
    wire.send(f"POST {target} HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n")
    wire.send(body)


# ---- many requests, one thread ----

def test_a_hundred_requests_that_sleep_a_second_take_about_one(serve):
    arbiter = serve()
    wires = [Wire(arbiter.port) for _ in range(100)]
    began = time.monotonic()
    for wire in wires:
        wire.send("GET /sleep/1 HTTP/1.1\r\nHost: test\r\n\r\n")
    wait_inside(arbiter, 100)
    assert [wire.answer().body for wire in wires] == [b"slept"] * 100
    assert time.monotonic() - began < 10
    for wire in wires:
        wire.socket.close()
    wait_inside(arbiter, 0)
    assert int(arbiter.status()["pools"][0]["requestsTotal"]) == 100


def test_the_library_is_patched_before_the_application_is_imported(serve):
    facts = json.loads(get(serve().port, "/facts").body)
    assert facts["patched"] and facts["patched_before_import"] and facts["greenlet"] == "Greenlet"


def test_a_request_may_ask_its_own_worker(serve):
    assert json.loads(get(serve().port, "/fetch").body)["patched"]


def test_there_is_no_application_thread_beside_the_main_one(serve):
    arbiter = serve()
    assert get(arbiter.port, "/sleep/0.1").body == b"slept"
    worker = arbiter.workers()[0]
    dump = arbiter.cornctl("dump", str(worker)).stdout
    assert "corn-app" not in dump and "corn-follower" not in dump


def test_pipelined_requests_are_answered_in_order(serve):
    with Wire(serve().port) as wire:
        wire.send("".join(f"GET /query?{number} HTTP/1.1\r\nHost: test\r\n\r\n"
                          for number in range(50)))
        assert [wire.answer().body for _ in range(50)] == [b"%d" % n for n in range(50)]


@pytest.mark.parametrize("name", [
    "gunicorn.workers.ggevent.GeventWorker", "gevent_wsgi", "gevent_pywsgi",
    "gunicorn.workers.ggevent.GeventPyWSGIWorker", "egg:gunicorn#gevent"])
def test_gunicorns_names_are_taken_for_gevent(serve, name):
    arbiter = serve(kind=name)
    assert "Using worker: gevent" in arbiter.log()
    assert get(arbiter.port, "/?ok").body == b"ok"


def test_without_gevent_the_worker_says_what_to_install(site):
    site.write("gevent/__init__.py", "raise ImportError('not the real one')\n")
    site.write("app.py", "def application(environ, start_response):\n    pass\n")
    arbiter = site.start("-k", "gevent", "app:application", ready=False)
    assert arbiter.wait_exit() == 3
    assert "needs the Python package gevent" in arbiter.log()
    assert "not the real one" in arbiter.log() and "python3-gevent" in arbiter.log()
    site.assert_nothing_left()


# ---- slow clients ----

def test_a_slow_body_keeps_nobody_waiting(serve):
    arbiter = serve()
    with Wire(arbiter.port) as slow:
        ask(slow, "/count", b"12345", length=10)
        wait_inside(arbiter, 1)  # it enters before its body is whole, and waits for it
        assert get(arbiter.port, "/?free").body == b"free"
        slow.send(b"67890")
        assert slow.answer().body == b"10"


def test_a_wait_for_the_body_obeys_the_applications_own_time_out(serve, site):
    arbiter = serve()
    with Wire(arbiter.port) as wire:
        ask(wire, "/count_for/0.3", b"12345", length=10)
        assert wire.answer().body == b"too late"
        wire.send(b"67890")  # the rest of the body, and the connection is kept
        assert wire.get("/?next").body == b"next"
        ask(wire, "/count_for/20", b"12345", length=10)
        wait_until(lambda: notes(site).count("reading") == 2, "the second reader")
        wire.send(b"67890")
        assert wire.answer().body == b"10"
    assert "ERROR" not in arbiter.log()


def test_a_body_whose_client_has_gone_is_no_success(serve, site):
    arbiter = serve()
    wire = Wire(arbiter.port)
    ask(wire, "/count_for/20", b"12345", length=10)
    wait_for_note(site, "reading")
    wire.socket.close()
    wait_inside(arbiter, 0)
    assert get(arbiter.port, "/?on").body == b"on"


def test_a_body_is_late_after_body_timeout(serve):
    arbiter = serve("--body-timeout", "1")
    with Wire(arbiter.port) as wire:
        ask(wire, "/count", b"12345", length=10)
        wire.read_head()
        wait_inside(arbiter, 0)


def test_clients_that_do_not_read_keep_nobody_waiting(serve, site):
    arbiter = serve()
    wires = [Wire(arbiter.port, receive_buffer=4096) for _ in range(3)]
    for wire in wires:
        wire.send(f"GET /pieces/{PIECES} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
    wait_inside(arbiter, 3)
    for number in range(20):
        assert get(arbiter.port, f"/?{number}").body == b"%d" % number
    assert f"sending {PIECES - 1}" not in notes(site)
    for wire in wires:
        received = 0
        while piece := wire.socket.recv(1 << 20):
            received += piece.count(b"x")
        assert received == PIECES * 65536
        wire.socket.close()
    wait_inside(arbiter, 0)


def test_a_client_that_takes_nothing_is_given_up_after_the_timeout(serve, site):
    arbiter = serve("--timeout", "2")
    with Wire(arbiter.port, receive_buffer=4096) as wire:
        wire.send(f"GET /pieces/{PIECES} HTTP/1.1\r\nHost: test\r\n\r\n")
        wait_inside(arbiter, 1)
        wait_inside(arbiter, 0)
    assert f"sending {PIECES - 1}" not in notes(site)
    assert arbiter.exits() == []


def test_a_body_that_has_come_can_be_read_on_another_greenlet(serve):
    arbiter = serve()
    with Wire(arbiter.port) as wire:
        ask(wire, "/read_elsewhere", b"12345")
        assert wire.answer().body == b"12345"
        ask(wire, "/read_elsewhere", b"12345", length=10)
        assert b"RuntimeError: wsgi.input can be read by" in wire.answer().body


# ---- applications that hang, exit or fork ----

def test_a_hub_that_has_no_turn_is_a_silent_worker(serve, site):
    arbiter = serve("--timeout", "2", workers="2")
    with Wire(arbiter.port) as wire:
        wire.send("GET /busy HTTP/1.1\r\nHost: test\r\n\r\n")
        assert "504" in wire.read_head()
    assert wait_until(arbiter.exits, "the worker to be put down")[0]["cause"] == "timeout"
    arbiter.wait_for_log(r"gevent_cases\.py.*in busy")
    assert get(arbiter.port, "/?on").body == b"on"


def test_requests_that_wait_are_no_silence(serve, site):
    arbiter = serve("--timeout", "1")
    before = arbiter.workers()
    assert get(arbiter.port, "/sleep/3").body == b"slept"
    assert arbiter.workers() == before and arbiter.exits() == []


def test_a_request_over_its_limit_is_answered_504(serve, site):
    arbiter = serve("--request-timeout", "2", workers="2")
    with Wire(arbiter.port) as wire, Wire(arbiter.port) as other:
        wire.send("GET /wait HTTP/1.1\r\nHost: test\r\n\r\n")
        wait_for_note(site, "waiting")
        assert other.get("/sleep/1").body == b"slept"
        assert "504" in wire.read_head()
    assert wait_until(arbiter.exits, "the worker to end")[0]["cause"] == "request-timeout"
    pool = arbiter.status()["pools"][0]
    assert (pool["requestsTotal"], pool["errorsTotal"]) == ("2", "1"), pool
    assert get(arbiter.port, "/?on").body == b"on"


def test_a_dump_shows_greenlets_that_wait(serve, site):
    arbiter = serve()
    with Wire(arbiter.port) as wire:
        wire.send("GET /wait HTTP/1.1\r\nHost: test\r\n\r\n")
        wait_for_note(site, "waiting")
        result = arbiter.cornctl("dump", str(arbiter.workers()[0]))
        assert "GET /wait" in result.stdout and "gevent_cases.py" in result.stdout
        assert "in wait" in result.stdout and "Greenlet" in result.stdout
        assert get(arbiter.port, "/release").status == 200
        assert wire.answer().body == b"released"


def test_a_greenlet_that_calls_for_the_programs_end_does_not_end_it(serve):
    arbiter = serve()
    before = arbiter.workers()
    assert get(arbiter.port, "/exit_elsewhere").body == b"spawned"
    arbiter.wait_for_log("SystemExit: 7")
    assert get(arbiter.port, "/?on").body == b"on"
    assert arbiter.workers() == before


def test_a_forked_child_does_not_serve(serve):
    arbiter = serve()
    for _ in range(3):
        assert get(arbiter.port, "/fork").body == b"5"
    assert get(arbiter.port, "/?on").body == b"on"
    assert "ERROR" not in arbiter.log() and arbiter.exits() == []


# ---- what holds of every worker class ----

def test_a_preloaded_application_has_used_the_hub_before(serve, site):
    site.write("used.py", "import gevent, os\ngevent.sleep(0.01)\nIN = os.getpid()\n"
                          "from gevent_cases import *\nfrom gevent_cases import application\n"
                          "def imported(environ, argument):\n    return str(IN).encode()\n"
                          "BY_NAME['imported'] = imported\n")
    shutil.copy(APPLICATIONS / "gevent_cases.py", site.app)
    arbiter = site.start("-w", "2", "-k", "gevent", "--preload", "used:application")
    wires = [Wire(arbiter.port) for _ in range(20)]
    for wire in wires:
        wire.send("GET /sleep/0.5 HTTP/1.1\r\nHost: test\r\n\r\n")
    wait_inside(arbiter, 20)
    assert [wire.answer().body for wire in wires] == [b"slept"] * 20
    facts = [wire.get("/facts").json() for wire in wires]
    assert all(fact["patched_before_import"] for fact in facts)
    assert {fact["pid"] for fact in facts} <= set(arbiter.workers())
    assert {int(wire.get("/imported").body) for wire in wires}.isdisjoint(arbiter.workers())
    for wire in wires:
        wire.socket.close()
    assert arbiter.cornctl("reload").returncode == 0
    assert get(arbiter.port, "/sleep/0.1").body == b"slept"
    assert arbiter.stop() == 0
    assert "Traceback" not in arbiter.log()

def test_reloads_and_recycling_lose_nothing(serve):
    arbiter = serve("--max-requests", "500", "--max-requests-jitter", "100", workers="2")
    with Load(arbiter.port, target="/query?{id}") as load:
        for number in range(1, 6):
            arbiter.send(signal.SIGHUP)
            wait_until(lambda wanted=number: int(arbiter.status()["arbiter"]["reloads"]) >= wanted,
                       f"reload {number}")
            load.wait_for(200)
    load.assert_nobody_noticed()
    assert {event["cause"] for event in arbiter.exits()} <= {"reloaded", "max-requests"}


def test_an_idle_connection_goes_on_with_the_next_worker(serve):
    arbiter = serve("--keep-alive", "60")
    with Wire(arbiter.port) as wire:
        first = wire.get("/facts").json()["pid"]
        assert arbiter.cornctl("reload").returncode == 0
        wait_until(lambda: first not in arbiter.all_workers(), "the old worker to go")
        assert wire.get("/facts").json()["pid"] != first


def test_a_graceful_shutdown_answers_what_is_inside(serve, site):
    arbiter = serve()
    with Wire(arbiter.port) as wire:
        wire.send("GET /sleep/1 HTTP/1.1\r\nHost: test\r\n\r\n")
        wait_inside(arbiter, 1)
        ended = threading.Thread(target=arbiter.stop)
        ended.start()
        assert wire.answer().body == b"slept"
        ended.join()
    site.assert_nothing_left()


@pytest.mark.parametrize("number,options", [(signal.SIGTERM, ["--graceful-timeout", "1"]),
                                            (signal.SIGQUIT, [])])
def test_what_does_not_end_in_time_is_killed_as_greenlets_are(serve, site, number, options):
    arbiter = serve(*options)
    with Wire(arbiter.port) as wire:
        wire.send("GET /wait HTTP/1.1\r\nHost: test\r\n\r\n")
        wait_for_note(site, "waiting")
        assert arbiter.stop(number) == 0
    assert notes(site) == ["waiting", "killed"]
    assert "exited with status 0" in arbiter.log()
    site.assert_nothing_left()


def test_every_request_is_in_the_access_log(serve, site):
    arbiter = serve("--access-logfile", site.root / "access.log",
                    "--access-logformat", "%(m)s %(U)s %(q)s %(s)s %(B)s")
    wires = [Wire(arbiter.port) for _ in range(20)]
    for number, wire in enumerate(wires):
        wire.send(f"GET /sleep/0.2?{number} HTTP/1.1\r\nHost: test\r\n\r\n")
    for wire in wires:
        assert wire.answer().body == b"slept"
        wire.socket.close()
    assert arbiter.stop() == 0
    lines = (site.root / "access.log").read_text(encoding="utf-8").splitlines()
    assert sorted(lines) == sorted(f"GET /sleep/0.2 {number} 200 5" for number in range(20))
