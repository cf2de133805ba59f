# SPDX-License-Identifier: Apache-2.0
"""Whatever happens to workers, arbiter, code, program or machine, no request fails but those of a worker
that was put down. `./dev chaos MINUTES [SEED]` runs this for long, by CORN_CHAOS_MINUTES and _SEED."""

import itertools
import os
import signal

import pytest

from chaos import Chaos, every_fault_once
from chaos_clients import NOBODY_LEFT, ChaosClient, connections_of
from chaos_faults import DECK, Faults, Violation, history, still
from harness import wait_until

SEED = int(os.environ.get("CORN_CHAOS_SEED", "1"))
MINUTES = float(os.environ.get("CORN_CHAOS_MINUTES", "0"))


def test_a_random_history_of_faults_costs_no_request_that_could_be_served(site):
    chaos = Chaos(site, SEED)
    print(f"CORN_CHAOS_SEED={SEED}")
    failure = None
    try:
        if MINUTES:
            chaos.run(seconds=MINUTES * 60)
        else:
            chaos.run(acts=every_fault_once())
    except Exception as error:  # whatever it was: it happened under these faults
        failure = chaos.report(error)
    finally:
        chaos.close()
    if failure:
        pytest.fail(failure, pytrace=False)
    print(chaos.account())


def test_a_seed_is_one_history_that_deals_every_fault():
    first, again, other = (list(itertools.islice(history(seed), 3 * len(DECK))) for seed in (5, 5, 6))
    assert first == again != other
    assert {name for name, _, _ in first[:len(DECK)]} == set(DECK)
    assert all(callable(getattr(Faults, name)) for name in DECK)


def test_what_nobody_was_left_to_hold_is_excused_and_nothing_else(site):
    chaos = Chaos(site, SEED)
    chaos.prepare()
    faults, ledger = chaos.faults, chaos.clients.ledger
    try:
        faults.kill_arbiter(0.6, 0)
        assert not ledger.unexcused and NOBODY_LEFT not in ledger.excused

        faults.look_who_serves()
        faults.arbiter.send(signal.SIGSTOP)  # it can't replace them
        for pid in faults.serving.values():
            os.kill(pid, signal.SIGSTOP)
            wait_until(lambda pid=pid: still(pid), "a worker to stop")
            ledger.hold(connections_of(pid, chaos.port), "worker: killed")
            faults.ended[pid] = {"crashed(KILL)", "lost"}
            os.kill(pid, signal.SIGKILL)
        faults.again(0.3)
        faults.arbiter_answers()
        assert not ledger.unexcused and ledger.excused[NOBODY_LEFT] > 0

        ledger.arbiter_is_killed()  # it is not: a failure now is one
        client = ChaosClient(("127.0.0.1", chaos.port), ledger)
        ledger.failed(client, "closed before the response")
        ledger.arbiter_is_back(nobody_held_the_socket=False)
        assert len(ledger.unexcused) == 1

        faults.ended.clear()
        with pytest.raises(Violation, match="should have kept it"):
            faults.check_that_nobody_held_the_socket()
    finally:
        chaos.close()
