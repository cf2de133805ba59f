# SPDX-License-Identifier: Apache-2.0
import pytest

from harness import Site


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
