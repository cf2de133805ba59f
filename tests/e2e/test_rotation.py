# SPDX-License-Identifier: Apache-2.0
"""Log files belong to the arbiter: workers write to what it has opened, at their start and after a rotation,
whoever they run as."""

import os
import signal

import pytest

from harness import get, process_alive, wait_until

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
AS_NOBODY = ["--user", "nobody", "--group", "nogroup"]
# Loads when the file is there that GO names.
WAITS = """
import os, time
while not os.path.exists(os.environ["GO"]):
    time.sleep(0.01)
from wsgi_test import application
"""


class Logs:
    """An error log and an access log in a directory that is the arbiter's alone."""

    def __init__(self, site):
        self.directory = site.root / "logs"
        self.directory.mkdir(mode=0o700)
        self.error, self.access = self.directory / "error.log", self.directory / "access.log"
        self.options = ["--error-logfile", self.error, "--access-logfile", self.access]

    def rotate(self):
        """Returns where the files are now."""
        old = [path.with_suffix(".old") for path in (self.error, self.access)]
        self.error.rename(old[0])
        self.access.rename(old[1])
        return old


@pytest.fixture
def logs(site):
    return Logs(site)


def port_of(arbiter):
    address = arbiter.status()["pools"][0]["listeners"][0]["address"]
    return int(address.rpartition(":")[2])


def log_a_request(arbiter, mark, access_log):
    assert get(port_of(arbiter), f"/{mark}").status == 200
    wait_until(lambda: access_log.exists() and f"GET /{mark} " in access_log.read_text(),
               f"the line of /{mark} in {access_log.name}")


def reopen(arbiter):
    result = arbiter.cornctl("reopen-logs")
    assert result.returncode == 0, result


@AS_ROOT
@pytest.mark.parametrize("preload", [False, True])
def test_workers_of_another_user_go_on_after_a_rotation(site, logs, preload):
    options = [*AS_NOBODY, *logs.options, "-w", "2", *(["--preload"] if preload else [])]
    arbiter = site.start(*options, "wsgi_test:application")
    log_a_request(arbiter, "before", logs.access)
    _, old_access = logs.rotate()
    reopen(arbiter)
    log_a_request(arbiter, "after", logs.access)
    assert "/after" not in old_access.read_text()
    # New workers come up, whatever brings them, and write to the new files.
    victim = arbiter.workers()[0]
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: not process_alive(victim), "its end")
    arbiter.wait_ready(2)
    assert arbiter.cornctl("scale", "3").returncode == 0
    assert arbiter.cornctl("reload").returncode == 0
    log_a_request(arbiter, "later", logs.access)
    lines = logs.error.read_text()
    for worker in arbiter.workers():
        assert f"Booting worker with pid: {worker}" in lines
    assert "Permission denied" not in lines
    assert arbiter.stop() == 0
    site.assert_nothing_left()


@AS_ROOT
def test_workers_of_another_user_write_to_the_pipe_that_the_arbiter_writes_to(site):
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as lines:
        arbiter = site.start(*AS_NOBODY, "--error-logfile", "/dev/stderr", "--access-logfile",
                             "/dev/stderr", "wsgi_test:application", stderr=writer)
        os.close(writer)
        assert get(port_of(arbiter), "/piped").status == 200
        assert arbiter.stop() == 0
        text = lines.read()
    assert b"Booting worker with pid" in text and b"GET /piped " in text


@AS_ROOT
def test_an_application_can_be_checked_that_another_user_will_run(site, logs):
    result = site.run_arbiter("--check-config", *AS_NOBODY, *logs.options, "wsgi_test:application")
    assert result.returncode == 0, result


def test_files_that_cannot_be_opened_anew_are_told_and_the_old_ones_stay(site, logs):
    arbiter = site.start(*logs.options, "wsgi_test:application")
    moved = logs.directory.rename(site.root / "moved")
    result = arbiter.cornctl("reopen-logs")
    assert result.returncode == 1, result
    assert str(logs.error) in result.stderr and str(logs.access) in result.stderr, result
    log_a_request(arbiter, "meanwhile", moved / "access.log")
    assert "the old file stays in use" in (moved / "error.log").read_text()
    # Nor do workers need the path that come now.
    victim = arbiter.workers()[0]
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: not process_alive(victim), "its end")
    arbiter.wait_ready(1)
    log_a_request(arbiter, "replaced", moved / "access.log")
    logs.directory.mkdir(mode=0o700)
    reopen(arbiter)
    log_a_request(arbiter, "mended", logs.access)


@pytest.mark.parametrize("preload", [False, True])
def test_a_rotation_while_workers_load_reaches_them(site, logs, preload):
    site.write("waits.py", WAITS)
    go = site.root / "go"
    user = AS_NOBODY if os.geteuid() == 0 else []
    options = [*user, *logs.options, *(["--preload"] if preload else [])]
    arbiter = site.start(*options, "waits:application", ready=False, environment={"GO": str(go)})
    wait_until(lambda: (status := arbiter.try_status()) and status["pools"][0]["workers"],
               "a worker to be begun")
    old_error, old_access = logs.rotate()
    reopen(arbiter)
    go.touch()
    arbiter.wait_ready()
    log_a_request(arbiter, "first", logs.access)
    assert old_access.read_text() == ""
    assert "Permission denied" not in old_error.read_text() + logs.error.read_text()


def test_a_worker_that_is_told_alone_opens_its_files_itself(site, logs):
    arbiter = site.start(*logs.options, "wsgi_test:application")
    logs.rotate()
    os.kill(arbiter.workers()[0], signal.SIGUSR1)
    wait_until(logs.access.exists, "the new file")
    log_a_request(arbiter, "alone", logs.access)
