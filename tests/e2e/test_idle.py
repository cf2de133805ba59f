# SPDX-License-Identifier: Apache-2.0
"""Idle means asleep."""

import time

import pytest

from harness import SANITIZER, context_switches, get, wait_until


@pytest.mark.skipif(bool(SANITIZER), reason="sanitizers have threads of their own that wake up")
def test_an_idle_instance_wakes_up_less_than_five_times_a_second(site):
    arbiter = site.start("-w", "4", "wsgi_test:application")
    get(arbiter.port)
    pids = [arbiter.pid, *arbiter.workers()]
    assert len(pids) == 5

    def wakeups(seconds):
        began, before = time.monotonic(), context_switches(pids)
        wait_until(lambda: time.monotonic() >= began + seconds, "the time of measurement to pass")
        return (context_switches(pids) - before) / (time.monotonic() - began)

    # What the request and the status call above set in motion (keep-alive time-outs, closing
    # threads) may take some seconds to settle.
    rates = []
    wait_until(lambda: rates.append(wakeups(10)) or rates[-1] < 5, "an idle instance", 60)
    print(f"wake-ups a second of arbiterd and 4 workers: {rates[-1]:.1f}")
