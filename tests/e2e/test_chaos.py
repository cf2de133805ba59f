# SPDX-License-Identifier: Apache-2.0
"""Whatever happens to workers, arbiter, code, program or machine, no request fails but those of a worker
that was put down. `./dev chaos MINUTES [SEED]` runs this for long, by CORN_CHAOS_MINUTES and _SEED."""

import itertools
import os

import pytest

from chaos import Chaos, every_fault_once
from chaos_faults import DECK, Faults, history

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
