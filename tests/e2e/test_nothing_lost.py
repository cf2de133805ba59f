# SPDX-License-Identifier: Apache-2.0
"""Sixteen keep-alive clients at full load while workers come and go: not one request fails."""

import itertools
import signal

import pytest

from harness import ECHO_QUERY, wait_until
from load import Load

CLASSES = pytest.mark.parametrize("worker_class", [["-k", "sync"],
                                                   ["-k", "gthread", "--threads", "4"]],
                                  ids=["sync", "gthread"])


def reloads(arbiter):
    return int(arbiter.status()["arbiter"]["reloads"])


@CLASSES
def test_recycling_after_100_requests_loses_nothing(site, worker_class):
    site.write("echo.py", ECHO_QUERY)
    arbiter = site.start("-w", "2", *worker_class, "--max-requests", "100",
                         "--max-requests-jitter", "20", "echo:application")
    with Load(arbiter.port) as load:
        wait_until(lambda: len(arbiter.exits()) >= 15, "15 workers to be recycled", 120)
    load.assert_nothing_lost()
    assert {event["cause"] for event in arbiter.exits()} == {"max-requests"}
    assert load.longest_gap < 5


@CLASSES
def test_ten_reloads_lose_nothing(site, worker_class):
    site.write("echo.py", ECHO_QUERY)
    arbiter = site.start("-w", "2", *worker_class, "echo:application")
    with Load(arbiter.port) as load:
        for number in range(1, 11):
            arbiter.send(signal.SIGHUP)
            wait_until(lambda wanted=number: reloads(arbiter) >= wanted, f"reload {number}")
            load.wait_for(100)
    load.assert_nothing_lost()
    assert load.longest_gap < 5
    assert {event["cause"] for event in arbiter.exits()} == {"reloaded"}


def test_adding_and_removing_workers_loses_nothing(site):
    site.write("echo.py", ECHO_QUERY)
    arbiter = site.start("-w", "2", "echo:application")
    with Load(arbiter.port) as load:
        for number, wanted in itertools.chain.from_iterable(
                [[(signal.SIGTTIN, 3), (signal.SIGTTIN, 4), (signal.SIGTTOU, 3),
                  (signal.SIGTTOU, 2)]] * 3):
            arbiter.send(number)
            arbiter.wait_ready(wanted)
            load.wait_for(50)
        for change in ("+4", "-3", "1", "3"):
            result = arbiter.cornctl("scale", change)
            assert result.returncode == 0, result
            load.wait_for(50)
    load.assert_nothing_lost()
    assert {event["cause"] for event in arbiter.exits()} == {"scaled-down"}


def test_replacing_workers_by_hand_loses_nothing(site):
    site.write("echo.py", ECHO_QUERY)
    arbiter = site.start("-w", "2", "echo:application")
    with Load(arbiter.port) as load:
        for _ in range(5):
            result = arbiter.cornctl("restart", str(arbiter.workers()[0]))
            assert result.returncode == 0, result
            load.wait_for(50)
    load.assert_nothing_lost()


def test_a_graceful_shutdown_answers_what_it_accepted(site):
    """After TERM a client may find the door closed, but whoever got in is answered."""
    site.write("slow.py", "import time\ndef application(environ, start_response):\n"
               "    time.sleep(0.2)\n    body = environ['QUERY_STRING'].encode()\n"
               "    start_response('200 OK', [('Content-Length', str(len(body)))])\n"
               "    return [body]\n")
    arbiter = site.start("-w", "2", "-k", "gthread", "--threads", "4", "slow:application")
    with Load(arbiter.port, connections=8) as load:
        load.wait_for(8)
        load.stopping.set()
        assert arbiter.stop() == 0
    load.assert_nothing_lost()
    site.assert_nothing_left()
