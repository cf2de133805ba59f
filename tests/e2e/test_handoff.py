# SPDX-License-Identifier: Apache-2.0
"""Kept-alive connections outlive their worker: 32 clients with a connection each, whatever happens to the
workers. No request fails, no answer says `Connection: close`, nobody has to connect again.

CORN_HANDOFF_ROUNDS sets how often everything is done; 50 is the long run, by hand."""

import itertools
import json
import os
import signal

import pytest

from harness import ECHO_QUERY, wait_until
from load import Load
from test_upgrade import upgrades
from wire import MIRROR, Wire

ROUNDS = int(os.environ.get("CORN_HANDOFF_ROUNDS", "10"))
CLASSES = pytest.mark.parametrize("worker_class", [["-k", "sync"],
                                                   ["-k", "gthread", "--threads", "4"]],
                                  ids=["sync", "gthread"])
QUICK, SLOW = (0, 0.05), (3, 3)
THINK = pytest.mark.parametrize("think", [QUICK, SLOW], ids=["quick", "slow"])
KEEP_ALIVE = ["--keep-alive", "5"]


# Hangs when asked to, until there is a file "go"; answers with its process's number.
STUCK = """
import os, time
def application(environ, start_response):
    if environ["PATH_INFO"] == "/hang":
        with open("hanging", "w") as file:
            file.write(str(os.getpid()))
        while not os.path.exists("go"):
            time.sleep(0.01)
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


def start(site, *arguments):
    site.write("echo.py", ECHO_QUERY)
    return site.start(*KEEP_ALIVE, *arguments, "echo:application")


def load_on(arbiter, think):
    return Load(arbiter.port, connections=32, think=think, keep_alive=5)


@CLASSES
@THINK
def test_reloads_are_not_noticed(site, worker_class, think):
    arbiter = start(site, "-w", "2", *worker_class)
    with load_on(arbiter, think) as load:
        for _ in range(ROUNDS):
            result = arbiter.cornctl("reload")
            assert result.returncode == 0, result
            load.wait_for(32 if think == QUICK else 1)
        load.wait_for(64)  # everyone once more after the last one
    load.assert_nobody_noticed()
    assert len(load.servers) > 2, "several generations have answered"


@CLASSES
def test_recycling_is_not_noticed(site, worker_class):
    arbiter = start(site, "-w", "2", *worker_class, "--max-requests", "200",
                    "--max-requests-jitter", "50")
    with load_on(arbiter, QUICK) as load:
        wait_until(lambda: len(arbiter.exits()) >= ROUNDS, f"{ROUNDS} workers to be recycled", 180)
    load.assert_nobody_noticed()
    assert {event["cause"] for event in arbiter.exits()} == {"max-requests"}


@CLASSES
@THINK
def test_scaling_is_not_noticed(site, worker_class, think):
    arbiter = start(site, "-w", "4", *worker_class)
    with load_on(arbiter, think) as load:
        for target in itertools.chain.from_iterable([["1", "4"]] * max(1, ROUNDS // 5)):
            result = arbiter.cornctl("scale", target)
            assert result.returncode == 0, result
            load.wait_for(32)
    load.assert_nobody_noticed()


def test_restarting_a_worker_is_not_noticed(site):
    arbiter = start(site, "-w", "2")
    with load_on(arbiter, QUICK) as load:
        for _ in range(max(1, ROUNDS // 2)):
            result = arbiter.cornctl("restart", str(arbiter.workers()[0]))
            assert result.returncode == 0, result
            load.wait_for(64)
    load.assert_nobody_noticed()


def test_upgrades_in_place_are_not_noticed(site):
    arbiter = start(site, "-w", "2")
    with load_on(arbiter, QUICK) as load:
        for number in range(1, max(2, ROUNDS // 5) + 1):
            arbiter.send(signal.SIGUSR2)
            wait_until(lambda wanted=number: upgrades(arbiter) >= wanted, f"upgrade {number}")
            arbiter.wait_ready(2)
            load.wait_for(64)
    load.assert_nobody_noticed()


def test_an_arbiter_that_adopts_workers_goes_on_with_their_queue(site):
    options = ["--name", "shop", "-w", "2"]
    arbiter = start(site, *options)
    with load_on(arbiter, QUICK) as load:
        arbiter.kill()
        load.wait_for(64)
        arbiter = site.start(*KEEP_ALIVE, *options, "echo:application", ready=False)
        arbiter.wait_for_log(r"adopted 2 workers of arbiter")
        for _ in range(2):
            assert arbiter.cornctl("reload").returncode == 0
            load.wait_for(64)
    load.assert_nobody_noticed()


def test_connections_on_a_unix_socket_are_passed_on_too(site):
    site.write("echo.py", ECHO_QUERY)
    path = str(site.root / "web.sock")
    arbiter = site.start("-w", "2", *KEEP_ALIVE, "echo:application", bind=f"unix:{path}")
    with Load(path, connections=32, think=QUICK) as load:
        for _ in range(3):
            assert arbiter.cornctl("reload").returncode == 0
            load.wait_for(64)
    load.assert_nobody_noticed()


def test_who_the_client_is_and_what_it_reached_travel_along(site):
    """The addresses of a PROXY header, and a listener that the next generation doesn't have."""
    site.write("mirror.py", MIRROR)

    def settings(*binds):
        return site.write("site.toml", '[pool.web]\nwsgi_app = "mirror:application"\nworkers = 2\n'
                          f'bind = {json.dumps(binds)}\nproxy_protocol = "v1"\nkeepalive = 60\n')

    settings("127.0.0.1:0", "127.0.0.2:0")
    arbiter = site.start("-c", "site.toml", bind=None)
    gone = int(arbiter.wait_for_log(r"http://127\.0\.0\.2:(\d+)").group(1))
    names = ("REMOTE_ADDR", "REMOTE_PORT", "PROXY_PROTOCOL", "PROXY_ADDR", "PROXY_PORT",
             "SERVER_NAME", "SERVER_PORT")
    with Wire(arbiter.port) as plain, Wire(gone, host="127.0.0.2") as proxied:
        proxied.send("PROXY TCP4 203.0.113.9 192.0.2.1 4711 80\r\n")
        before = [wire.get().json() for wire in (plain, proxied)]
        assert before[1]["REMOTE_ADDR"] == "203.0.113.9"
        assert before[1]["SERVER_NAME"] == "127.0.0.2"
        settings("127.0.0.1:0")
        assert arbiter.cornctl("reload").returncode == 0
        after = [wire.get().json() for wire in (plain, proxied)]
        for old, new in zip(before, after):
            assert old["pid"] != new["pid"]
            assert {name: old.get(name) for name in names} == {name: new.get(name) for name in names}


def test_a_half_read_request_is_answered_where_it_is(site):
    site.write("mirror.py", MIRROR)
    arbiter = site.start("-w", "1", "mirror:application")
    old = arbiter.workers()[0]
    with Wire(arbiter.port) as wire:
        assert wire.get().json()["pid"] == old
        wire.send("GET /half HTTP/1.1\r\nHo")
        # Read, and not only sent: the worker's count of bytes can't be seen, its socket's queue can.
        wait_until(lambda: nothing_unread(arbiter.port), "the worker to read the half")
        arbiter.send(signal.SIGHUP)
        wait_until(lambda: old not in arbiter.workers(), "the old worker to drain")
        wire.send("st: test\r\n\r\n")
        answer = wire.answer()
        assert answer.json()["pid"] == old
        assert answer.headers.get("connection", "") != "close"
        assert wire.get().json()["pid"] != old


def nothing_unread(port):
    with open("/proc/net/tcp", encoding="ascii") as table:
        for line in list(table)[1:]:
            fields = line.split()
            if int(fields[1].rpartition(":")[2], 16) == port and fields[3] == "01":
                return int(fields[4].partition(":")[2], 16) == 0
    return False


def test_a_shutdown_still_ends_connections_politely(site):
    arbiter = start(site, "-w", "2")
    with Wire(arbiter.port) as wire:
        assert wire.get("/?1").body == b"1"
        arbiter.send(signal.SIGTERM)
        assert wire.ended()
    assert arbiter.wait_exit() == 0
    site.assert_nothing_left()


def test_a_worker_that_hangs_keeps_no_other_request_waiting(site):
    """Kept-alive connections of a sync worker whose application hangs are served by its sibling."""
    site.write("stuck.py", STUCK)
    arbiter = site.start("-w", "2", "--keep-alive", "60", "--timeout", "0", "stuck:application")
    clients = [Wire(arbiter.port) for _ in range(16)]
    try:
        victim = clients[0].get().body
        hanging, *others = [wire for wire in clients if wire.get().body == victim]
        assert others, "the worker has more than one connection"
        hanging.send("GET /hang HTTP/1.1\r\nHost: test\r\n\r\n")
        wait_until((site.app / "hanging").exists, "the application to hang")
        for _ in range(3):
            for wire in others:
                assert wire.get().body != victim
        (site.app / "go").touch()
        assert hanging.answer().body == victim
        assert hanging.get().status == 200
    finally:
        (site.app / "go").touch()
        for wire in clients:
            wire.socket.close()


def test_a_worker_woken_for_a_connection_it_cannot_serve_any_more_passes_it_on(site):
    """Two requests wake one worker at once, and the first one hangs: the second is the sibling's."""
    site.write("stuck.py", STUCK)
    arbiter = site.start("-w", "2", "--keep-alive", "60", "--timeout", "0", "stuck:application")
    with Wire(arbiter.port) as hanging, Wire(arbiter.port) as fresh:
        victim = hanging.get().body
        os.kill(int(victim), signal.SIGSTOP)
        try:
            hanging.send("GET /hang HTTP/1.1\r\nHost: test\r\n\r\n")
            fresh.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        finally:
            os.kill(int(victim), signal.SIGCONT)
        try:
            wait_until((site.app / "hanging").exists, "the application to hang")
            assert fresh.answer().body != victim
        finally:
            (site.app / "go").touch()
        assert hanging.answer().body == victim


@CLASSES
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_worker_that_an_operator_sends_term_passes_its_connections_on(site, worker_class, workers):
    arbiter = start(site, "-w", workers, *worker_class)
    wires = [Wire(arbiter.port) for _ in range(6)]
    first = [wire.get("/?x").headers["x-pid"] for wire in wires]
    victim = int(first[0])
    os.kill(victim, signal.SIGTERM)
    wait_until(arbiter.exits, "the worker's end")
    for wire, before in zip(wires, first):
        answer = wire.get("/?y")
        assert answer.body == b"y" and answer.headers.get("connection") != "close"
        assert int(answer.headers["x-pid"]) != victim
        if int(before) != victim:
            assert answer.headers["x-pid"] == before, "the other's connections stay where they are"
        wire.socket.close()
    assert [event["cause"] for event in arbiter.exits()] == ["exited"]


def test_a_shutdown_after_term_to_the_worker_still_empties_the_backlog(site):
    site.write("stuck.py", STUCK)
    arbiter = site.start("-w", "1", "stuck:application")
    hanging, waiting = Wire(arbiter.port), Wire(arbiter.port)
    hanging.send("GET /hang HTTP/1.1\r\nHost: test\r\n\r\n")
    wait_until((site.app / "hanging").exists, "a request inside")
    waiting.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n")
    worker, = arbiter.workers()
    os.kill(worker, signal.SIGTERM)
    arbiter.send(signal.SIGTERM)
    arbiter.wait_for_log("graceful shutdown")
    site.write("go", "")
    assert hanging.answer().status == waiting.answer().status == 200
    assert arbiter.wait_exit() == 0
