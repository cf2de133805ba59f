# SPDX-License-Identifier: Apache-2.0
"""An application that can't be loaded is told with its traceback, and with that once, however many workers try."""

import json

import pytest

from harness import wait_until

BROKEN = "def set_up():\n    raise RuntimeError('no database')\nset_up()\n"
WORDS = "RuntimeError: no database"


def messages(arbiter, log_format):
    lines = arbiter.log().splitlines()
    return [json.loads(line) for line in lines] if log_format == "json" else lines


@pytest.mark.parametrize("options", [[], ["--preload"]], ids=["workers", "template"])
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_failed_start_tells_the_traceback_once(site, options, log_format):
    site.write("broken.py", BROKEN)
    arbiter = site.start("-w", "4", *options, "--log-format", log_format, "broken:application", ready=False)
    assert arbiter.wait_exit() == 4
    assert arbiter.log().count("Traceback") == 1, arbiter.log()
    # Every line about it says what it is about.
    texts = ["no worker can boot: "]
    if not options:
        texts += ["The application cannot be loaded: ", "(boot-failed): "]
    for text in texts:
        told = [str(entry) for entry in messages(arbiter, log_format) if text in str(entry)]
        assert told and all(WORDS in line for line in told), told


@pytest.mark.parametrize("options", [[], ["--preload"]], ids=["workers", "template"])
def test_every_failed_reload_tells_the_traceback_once(site, options):
    site.write("app.py", (site.app / "wsgi_test.py").read_text(encoding="utf-8"))
    arbiter = site.start("-w", "3", *options, "app:application")
    site.write("app.py", BROKEN)
    for count in (1, 2):
        result = arbiter.cornctl("reload")
        assert result.returncode == 1
        said = result.stdout + result.stderr
        assert "Traceback" in said and WORDS in said and "line 2, in set_up" in said
        wait_until(lambda: len(arbiter.all_workers()) == 3, "the new workers to be gone")
        assert arbiter.log().count("Traceback") == count, arbiter.log()
    assert f"{WORDS} [default]\n" in arbiter.log() and "no database' [default]" not in arbiter.log()
    lines = arbiter.log().splitlines()
    assert all(line.startswith("[") for line in lines if line.endswith("[default]")), arbiter.log()


def test_another_failure_is_told_with_its_own_traceback(site):
    site.write("app.py", (site.app / "wsgi_test.py").read_text(encoding="utf-8"))
    arbiter = site.start("-w", "2", "app:application")
    for words in ("no database", "no cache"):
        site.write("app.py", BROKEN.replace("no database", words))
        assert arbiter.cornctl("reload").returncode == 1
    log = arbiter.log()
    assert log.count("Traceback") == 2, log
    assert "\nRuntimeError: no database\n" in log and "\nRuntimeError: no cache\n" in log


def test_a_log_of_the_pools_own_has_the_traceback_too(site):
    site.write("broken.py", BROKEN)
    site.write("corn.toml", '[pool.web]\nwsgi_app = "broken:application"\nbind = "127.0.0.1:0"\n'
               'errorlog = "web.log"\n')
    arbiter = site.start(bind=None, ready=False)
    assert arbiter.wait_exit() == 4
    assert "Traceback" in (site.app / "web.log").read_text(encoding="utf-8")
    assert arbiter.log().count("Traceback") == 1
