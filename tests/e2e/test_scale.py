# SPDX-License-Identifier: Apache-2.0
"""Counts: exact, whoever asks and however fast; and what hundreds of workers cost the arbiter."""

import re
import signal
import time

import pytest

from harness import SANITIZER, cpu_seconds, get, rss_bytes, wait_until


def test_twenty_ttins_one_by_one_are_twenty_workers_more(site):
    arbiter = site.start("-w", "1", "wsgi_test:application")
    for target in range(2, 22):
        arbiter.send(signal.SIGTTIN)
        wait_until(lambda wanted=target: arbiter.status()["pools"][0]["target"] == wanted,
                   f"a target of {target}")
    arbiter.wait_ready(21)


def test_ttou_never_takes_the_last_worker(site):
    arbiter = site.start("-w", "2", "wsgi_test:application")
    for _ in range(3):
        before = arbiter.status()["arbiter"]["revision"]
        arbiter.send(signal.SIGTTOU)
        wait_until(lambda seen=before: arbiter.status()["arbiter"]["revision"] != seen,
                   "an answer to TTOU in the history")
    arbiter.wait_ready(1)
    assert get(arbiter.port).status == 200


def test_scaling_by_twenty_is_exact_and_done_when_it_returns(site):
    arbiter = site.start("-w", "2", "wsgi_test:application")
    result = arbiter.cornctl("scale", "+20")
    assert result.returncode == 0 and re.search(r"\b2 -> 22\b", result.stdout), result
    assert arbiter.settled() and len(arbiter.workers(("READY",))) == 22
    result = arbiter.cornctl("scale", "-20")
    assert result.returncode == 0 and re.search(r"\b22 -> 2\b", result.stdout), result
    assert arbiter.settled() and len(site.processes()) == 3


def test_counts_out_of_range_are_refused_and_change_nothing(site):
    arbiter = site.start("-w", "2", "wsgi_test:application")
    for count in ("0", "-2", "-7", "1001", "+999"):
        result = arbiter.cornctl("scale", count)
        assert result.returncode == 1, (count, result)
        assert "1000" in result.stderr, "the message names the range"
    assert arbiter.status()["pools"][0]["target"] == 2
    assert arbiter.cornctl("scale", "two").returncode == 2


@pytest.mark.skipif(bool(SANITIZER), reason="instrumented programs need several times the memory")
def test_two_hundred_workers_and_back(site):
    arbiter = site.start("-w", "2", "wsgi_test:application")
    result = arbiter.cornctl("scale", "200", timeout=300)
    assert result.returncode == 0, result
    status = arbiter.settled()
    assert status and len(arbiter.workers(("READY",))) == 200
    rss = rss_bytes(arbiter.pid) / 2**20
    print(f"arbiterd with 200 workers: {rss:.1f} MiB")
    assert rss < 60

    used = idle_cpu([arbiter.pid], seconds=5)
    print(f"arbiterd with 200 idle workers: {used * 100:.2f} % of a processor")
    assert used < 0.02

    result = arbiter.cornctl("scale", "2", timeout=300)
    assert result.returncode == 0, result
    assert arbiter.settled() and len(arbiter.workers(("READY",))) == 2
    assert get(arbiter.port).status == 200


def idle_cpu(pids, seconds):
    """Share of a processor that the processes use while nothing is asked of them."""
    began, before = time.monotonic(), cpu_seconds(pids)
    wait_until(lambda: time.monotonic() >= began + seconds, "the time of measurement to pass")
    return (cpu_seconds(pids) - before) / (time.monotonic() - began)
