# SPDX-License-Identifier: Apache-2.0
import pathlib
import socket

import pytest

from harness import Site


def answers(path):
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
        return True


def pytest_sessionstart(session):
    """cornctl looks there too, beside the directory that a test gives it."""
    running = [path.stem for path in pathlib.Path("/run/corn").glob("*.sock") if answers(path)]
    if running:
        pytest.exit(f"the tests' cornctl would find {', '.join(running)} in /run/corn as well: stop "
                    "that arbiterd first, or start it with another XDG_RUNTIME_DIR", 2)


@pytest.fixture
def site():
    test_site = Site()
    yield test_site
    test_site.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows what its arbiters logged."""
    outcome = yield
    report = outcome.get_result()
    site_of_test = getattr(item, "funcargs", {}).get("site")
    if report.when == "call" and report.failed and site_of_test:
        for number, arbiter in enumerate(site_of_test.arbiters):
            report.sections.append((f"log of arbiter {number}", arbiter.log()[-8000:]))
