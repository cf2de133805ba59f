# SPDX-License-Identifier: Apache-2.0
"""The arbiter dies without a word: workers serve on, and the next arbiter of the instance goes on with
them as if it had started them."""

import os
import signal
import socket
import struct

import pytest

from harness import ECHO_QUERY, free_port, get, process_alive, wait_until
from load import Load
from test_handoff import STUCK
from test_upgrade import listening_inode
from wire import Wire

NAMED = ["--name", "shop"]


def start_again(site, *arguments, **options):
    arbiter = site.start(*arguments, ready=False, **options)
    arbiter.wait_for_log(r"adopted \d+ workers of arbiter")
    return arbiter


def sequences(arbiter):
    return [int(event["sequence"]) for event in arbiter.events()]


def test_a_killed_arbiter_costs_no_request(site):
    site.write("echo.py", ECHO_QUERY)
    options = [*NAMED, "-w", "3", "echo:application"]
    arbiter = site.start(*options)
    port, inode = arbiter.port, listening_inode(arbiter.port)
    with Load(port) as load:
        for _ in range(3):
            workers = arbiter.workers()
            history = arbiter.events()
            arbiter.kill()
            load.wait_for(200)
            assert all(map(process_alive, workers))
            arbiter = start_again(site, *options)
            arbiter.wait_ready(3)
            assert arbiter.workers() == workers and arbiter.port == port
            assert listening_inode(port) == inode
            assert arbiter.events()[:len(history)] == history
            assert "ADOPTED" in {event["kind"] for event in arbiter.events()[len(history):]}
            load.wait_for(200)
        # It is their arbiter in every respect.
        arbiter.send(signal.SIGHUP)
        wait_until(lambda: not set(arbiter.all_workers()) & set(workers), "new workers")
        assert arbiter.cornctl("scale", "2").returncode == 0
        load.wait_for(200)
    load.assert_nothing_lost()
    assert load.longest_gap < 5
    numbers = sequences(arbiter)
    assert numbers == list(range(1, len(numbers) + 1))
    assert {event["cause"] for event in arbiter.exits()} == {"reloaded", "scaled-down"}
    assert arbiter.stop() == 0
    site.assert_nothing_left()


def test_what_was_told_before_the_death_stands_after_it(site):
    options = [*NAMED, "-w", "1", "wsgi_test:application"]
    arbiter = site.start(*options)
    for target in ("3", "2", "4", "1"):
        assert arbiter.cornctl("scale", "--no-wait", target).returncode == 0
        history = arbiter.events()
        arbiter.kill()
        arbiter = start_again(site, *options)
        after = arbiter.wait_ready(int(target))
        assert arbiter.events()[:len(history)] == history
        assert int(after["arbiter"]["revision"]) > len(history)
        # What changes no worker is written later, unless somebody asks.
        arbiter.cornctl("reopen-logs")
    numbers = sequences(arbiter)
    assert numbers == list(range(1, len(numbers) + 1))
    assert arbiter.stop() == 0
    site.assert_nothing_left()


def test_an_adopted_worker_is_supervised(site):
    site.write("hang.py", "import time\nfrom wsgi_test import application as hello\n"
               "def application(environ, start_response):\n"
               "    if environ['PATH_INFO'] == '/hang':\n        time.sleep(600)\n"
               "    return hello(environ, start_response)\n")
    options = [*NAMED, "-w", "1", "--timeout", "2", "hang:application"]
    arbiter = site.start(*options)
    worker = arbiter.workers()[0]
    arbiter.kill()
    arbiter = start_again(site, *options)
    assert arbiter.workers() == [worker]
    try:
        assert get(arbiter.port, "/hang").status >= 500
    except OSError:
        pass
    ends = wait_until(arbiter.exits, "the hanging worker's end")
    assert [(event["pid"], event["cause"]) for event in ends] == [(worker, "timeout")]
    assert "hang.py" in site.arbiters[0].log()  # whose standard error the worker has
    killed = arbiter.wait_ready(1)["pools"][0]["workers"][0]["pid"]
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: len(arbiter.exits()) == 2, "the killed worker to be noticed")
    arbiter.wait_ready(1)
    assert arbiter.stop() == 0
    site.assert_nothing_left()


def test_what_ended_or_stood_still_while_nobody_looked(site):
    options = [*NAMED, "-w", "3", "wsgi_test:application"]
    arbiter = site.start(*options)
    dead, stopped, alive = arbiter.workers()
    arbiter.kill()
    os.kill(stopped, signal.SIGSTOP)
    os.kill(dead, signal.SIGKILL)
    wait_until(lambda: not process_alive(dead), "the worker's death")
    arbiter = start_again(site, *options)
    wait_until(lambda: len(arbiter.workers()) == 3, "a replacement")
    assert {stopped, alive} < set(arbiter.workers()) and dead not in arbiter.all_workers()
    ended = [event for event in arbiter.exits() if event["pid"] == dead]
    assert [event["cause"] for event in ended] == ["lost"]
    os.kill(stopped, signal.SIGCONT)
    arbiter.wait_for_log(rf"Adopted worker {stopped}, late")
    assert arbiter.cornctl("restart", str(stopped)).returncode == 0
    assert not process_alive(stopped)
    assert arbiter.stop() == 0
    site.assert_nothing_left()


def test_settings_that_changed_meanwhile_are_taken_by_a_reload(site):
    site.write("echo.py", ECHO_QUERY)
    unix = f"{site.root}/app.sock"
    arbiter = site.start(*NAMED, "-w", "2", "-b", f"unix:{site.root}/old.sock", "echo:application")
    port, workers = arbiter.port, arbiter.workers()
    with Load(port, connections=4) as load:
        arbiter.kill()
        arbiter = start_again(site, *NAMED, "-w", "3", "-b", f"unix:{unix}", "echo:application")
        wait_until(lambda: not set(arbiter.all_workers()) & set(workers), "new workers")
        arbiter.wait_ready(3)
        load.wait_for(50)
    load.assert_nothing_lost()
    with Load(unix, connections=2) as other:
        other.wait_for(10)
    other.assert_nothing_lost()
    wait_until(lambda: not os.path.exists(f"{site.root}/old.sock"), "the old socket to go")
    assert arbiter.stop() == 0
    site.assert_nothing_left()


def test_a_reload_that_the_death_cut_short_is_begun_anew(site):
    site.write("slow.py", "import os, time\nif os.path.exists('slow'):\n    time.sleep(1.5)\n"
               "from wsgi_test import application\n")
    options = [*NAMED, "-w", "2", "slow:application"]
    arbiter = site.start(*options)
    old = arbiter.workers()
    site.write("slow", "")
    arbiter.send(signal.SIGHUP)
    wait_until(lambda: arbiter.workers(("BOOTING",)), "the new generation to boot")
    arbiter.kill()
    arbiter = start_again(site, *options)
    wait_until(lambda: not set(arbiter.all_workers()) & set(old), "the reload")
    arbiter.wait_ready(2)
    assert "RELOAD_SUCCEEDED" in {event["kind"] for event in arbiter.events()}
    assert arbiter.stop() == 0
    site.assert_nothing_left()


def test_a_second_arbiter_is_told_of_the_first_and_nobody_is_adopted(site):
    arbiter = site.start(*NAMED, "wsgi_test:application")
    workers = arbiter.workers()
    second = site.run_arbiter(*NAMED, "-b", "127.0.0.1:0", "wsgi_test:application")
    assert second.returncode == 1 and str(arbiter.pid) in second.stderr, second
    assert arbiter.workers() == workers


def test_orphans_finish_when_nobody_comes(site):
    arbiter = site.start("-w", "2", "--orphan-timeout", "1", "wsgi_test:application")
    arbiter.kill()
    wait_until(lambda: not site.processes(), "the orphans to finish")


def refused(port):
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return True
    return False


def test_an_orphan_that_finishes_leaves_the_port_and_is_adopted_all_the_same(site):
    site.write("stuck.py", STUCK)
    port = free_port()
    options = [*NAMED, "-w", "1", "--threads", "2", "--orphan-timeout", "1", "stuck:application"]
    arbiter = site.start(*options, bind=f"127.0.0.1:{port}")
    old, = arbiter.workers()
    with Wire(port) as hanging:
        hanging.send("GET /hang HTTP/1.1\r\nHost: test\r\n\r\n")
        wait_until((site.app / "hanging").exists, "a request inside")
        arbiter.kill()
        wait_until(lambda: refused(port), "the orphan to stop listening")
        arbiter = start_again(site, *options, bind=f"127.0.0.1:{port}")
        wait_until(arbiter.workers, "a new worker")
        with Wire(port) as fresh:
            assert int(fresh.get().body) != old
        assert arbiter.workers(("DRAINING",)) == [old]
        (site.app / "go").touch()
        assert int(hanging.answer().body) == old
    end, = wait_until(arbiter.exits, "the orphan's end")
    assert (end["pid"], end["cause"]) == (old, "orphaned")
    assert arbiter.stop() == 0
    site.assert_nothing_left()


def test_history_goes_on_after_the_orphans_have_left(site):
    options = [*NAMED, "-w", "2", "--orphan-timeout", "1", "wsgi_test:application"]
    arbiter = site.start(*options)
    killed, orphan = arbiter.workers()
    history = arbiter.events()
    arbiter.kill()
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: not site.processes(), "the orphan to finish")
    arbiter = site.start(*options)
    assert arbiter.events()[:len(history)] == history
    numbers = sequences(arbiter)
    assert numbers == list(range(1, len(numbers) + 1))
    assert [(end["pid"], end["cause"]) for end in arbiter.exits()] == [(killed, "lost"),
                                                                       (orphan, "orphaned")]
    assert arbiter.stop() == 0
    site.assert_nothing_left()


def test_the_state_file_is_written_as_soon_as_it_can_be(site):
    options = [*NAMED, "-w", "1", "wsgi_test:application"]
    arbiter = site.start(*options)
    in_the_way = next(site.run.rglob("*.state")).with_suffix(".state.new")
    in_the_way.mkdir()
    assert arbiter.cornctl("scale", "2").returncode == 0
    workers = arbiter.workers()
    in_the_way.rmdir()
    arbiter.wait_for_log(r"The state file \S+ is written again")
    assert arbiter.log().count("cannot write the state file") == 1
    arbiter.kill()
    arbiter = start_again(site, *options)
    arbiter.wait_ready(2)
    assert arbiter.workers() == workers
    assert arbiter.stop() == 0
    site.assert_nothing_left()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("mode", [0o711, 0o700], ids=["as /run", "as /run/user/0"])
@pytest.mark.parametrize("preload", [[], ["--preload"]], ids=["", "forked"])
def test_workers_that_dropped_privileges_are_adopted(site, mode, preload):
    site.run.chmod(mode)
    options = [*NAMED, "-w", "2", "--user", "nobody", *preload, "wsgi_test:application"]
    arbiter = site.start(*options)
    workers = arbiter.workers()
    arbiter.kill()
    arbiter = start_again(site, *options)
    arbiter.wait_ready(2)
    assert arbiter.workers() == workers
    # Neither their descent nor their user hides their stacks.
    dump = arbiter.json("dump", workers[0])
    main, = [thread for thread in dump["threads"] if thread["threadId"] == workers[0]]
    assert dump["text"] == "" and "epoll_wait+0x" in main["nativeStack"], dump
    assert arbiter.stop() == 0
    site.assert_nothing_left()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_strangers_are_not_adopted(site):
    options = [*NAMED, "-w", "1", "wsgi_test:application"]
    arbiter = site.start(*options)
    worker = arbiter.workers()[0]
    arbiter.kill()
    os.kill(worker, signal.SIGSTOP)
    arbiter = start_again(site, *options)
    # This test's process is not that worker, whatever it says.
    path = next(site.run.rglob("*.adopt"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.connect(str(path))
        # Type 14 (offer), version 1, worker 1, ready, no cause, no listeners.
        offer = struct.pack("<HHQ?II", 14, 1, 1, True, 0, 0)
        socket.send_fds(connection, [offer], [0])
        assert connection.recv(100) == b""
    os.kill(worker, signal.SIGCONT)
    arbiter.wait_for_log(rf"Adopted worker {worker}, late")
