# SPDX-License-Identifier: Apache-2.0
"""Upgrade in place: the arbiter's program is replaced while its pid, workers, sockets and history stay,
and clients notice nothing."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import threading
import time

import pytest

from harness import BIN, ECHO_QUERY, SANITIZER, get, process_comm, wait_until
from load import Load

UPGRADES = int(os.environ.get("CORN_UPGRADES", "5"))


def upgrades(arbiter):
    status = arbiter.try_status()
    return int(status["arbiter"]["upgrades"]) if status else -1


def listening_inode(port):
    """The inode of the socket that listens there, as /proc/net/tcp tells."""
    for line in pathlib.Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and int(fields[1].split(":")[1], 16) == port:
            return fields[9]
    return None


@pytest.fixture
def installed(site):
    """A directory with programs that a test may replace, as a package upgrade does."""
    directory = site.root / "bin"
    directory.mkdir()
    shutil.copy(BIN / "arbiterd", directory / "arbiterd")
    shutil.copy(BIN / "workerd", directory / "workerd")
    return directory / "arbiterd"


def test_upgrades_under_load_lose_nothing(site):
    site.write("echo.py", ECHO_QUERY)
    arbiter = site.start("-w", "2", "echo:application")
    port, inode = arbiter.port, listening_inode(arbiter.port)
    with Load(port) as load:
        for number in range(1, UPGRADES + 1):
            arbiter.send(signal.SIGUSR2)
            wait_until(lambda wanted=number: upgrades(arbiter) >= wanted, f"upgrade {number}")
            arbiter.wait_ready(2)
            load.wait_for(100)
    load.assert_nothing_lost()
    assert load.longest_gap < 5
    status = arbiter.status()["arbiter"]
    assert (status["pid"], status["upgrades"]) == (arbiter.pid, str(UPGRADES))
    assert listening_inode(port) == inode
    assert {event["cause"] for event in arbiter.exits()} == {"reloaded"}
    assert arbiter.stop() == 0
    site.assert_nothing_left()


def test_what_an_operator_knows_survives_an_upgrade(site):
    arbiter = site.start("-w", "2", "--pid", site.root / "pid", "wsgi_test:application")
    arbiter.cornctl("scale", "3")
    for _ in range(5):
        assert get(arbiter.port).body == b"Hello World"
    before = arbiter.status()
    history = arbiter.events()
    result = arbiter.cornctl("upgrade")
    assert result.returncode == 0, result
    version, _, after_version = result.stdout.strip().partition(" -> ")
    assert version == after_version == before["arbiter"]["version"]
    after = arbiter.wait_ready(3)
    for name in ("pid", "instance", "startedAt"):
        assert after["arbiter"][name] == before["arbiter"][name]
    assert float(after["arbiter"]["uptimeSeconds"]) >= float(before["arbiter"]["uptimeSeconds"])
    assert after["pools"][0]["generation"] == "2"
    assert int(after["pools"][0]["requestsTotal"]) >= 5
    events = arbiter.events()
    assert events[:len(history)] == history
    assert [int(event["sequence"]) for event in events] == list(range(1, len(events) + 1))
    kinds = [event["kind"] for event in events]
    assert kinds.index("UPGRADE_STARTED") < kinds.index("UPGRADE_SUCCEEDED") < kinds.index(
        "RELOAD_SUCCEEDED")
    assert (site.root / "pid").read_text().strip() == str(arbiter.pid)


def test_a_program_that_cannot_take_over_changes_nothing(site, installed):
    site.write("echo.py", ECHO_QUERY)
    arbiter = site.start("-w", "2", "echo:application", program=installed)
    workers = arbiter.workers()
    good = installed.with_suffix(".good")
    installed.rename(good)
    with Load(arbiter.port, connections=4) as load:
        refused = arbiter.cornctl("upgrade")
        assert refused.returncode == 1 and str(installed) in refused.stderr, refused

        installed.write_text("#!/bin/sh\necho this is not the time >&2\nexit 7\n")
        installed.chmod(0o755)
        refused = arbiter.cornctl("upgrade")
        assert refused.returncode == 1, refused
        assert "status 7" in refused.stderr and "this is not the time" in refused.stderr

        installed.write_text("not a program at all\n")
        refused = arbiter.cornctl("upgrade")
        assert refused.returncode == 1 and "Exec format error" in refused.stderr, refused
        assert arbiter.workers() == workers

        # As a package manager does: another file under the old name.
        installed.unlink()
        shutil.copy(good, installed)
        accepted = arbiter.cornctl("upgrade")
        assert accepted.returncode == 0, accepted
    load.assert_nothing_lost()
    assert os.readlink(f"/proc/{arbiter.pid}/exe") == str(installed)
    assert "UPGRADE_FAILED" in {event["kind"] for event in arbiter.events()}


@pytest.mark.parametrize("contents", [
    "#!/bin/sh\nexit 0\n",
    "#!/bin/sh\necho 'arbiterd (corn) 9.9.9'\n",
    "#!/bin/sh\ncat <&3\n",
], ids=["silent", "version", "echo"])
def test_a_program_that_merely_ends_well_is_not_taken_for_an_arbiter(site, installed, contents):
    arbiter = site.start("-w", "1", "wsgi_test:application", program=installed)
    workers = arbiter.workers()
    installed.unlink()
    installed.write_text(contents)
    installed.chmod(0o755)
    refused = arbiter.cornctl("upgrade")
    assert refused.returncode == 1, refused
    assert "everything stays as it was" in refused.stderr and str(installed) in refused.stderr
    assert "is it another program" in refused.stderr, refused
    assert arbiter.workers() == workers and upgrades(arbiter) == 0
    assert get(arbiter.port).status == 200


def test_settings_that_are_wrong_now_refuse_the_upgrade(site):
    config = site.write("corn.toml", '[pool.web]\nwsgi_app = "wsgi_test:application"\nworkers = 2\n')
    arbiter = site.start("-c", config)
    config.write_text('[pool.web]\nwsgi_app = "wsgi_test:application"\nworkers = "two"\n')
    refused = arbiter.cornctl("upgrade")
    assert refused.returncode == 1 and "corn.toml:3" in refused.stderr, refused
    arbiter.send(signal.SIGUSR2)
    arbiter.wait_for_log(r"no upgrade, everything stays as it was", 2)
    assert len(arbiter.workers()) == 2 and upgrades(arbiter) == 0


def test_code_that_no_longer_boots_fails_the_upgrade_but_not_the_service(site):
    site.write("app.py", "from wsgi_test import application\n")
    arbiter = site.start("-w", "2", "app:application")
    workers = arbiter.workers()
    site.write("app.py", "raise RuntimeError('broken on purpose')\n")
    result = arbiter.cornctl("upgrade")
    assert result.returncode == 1 and "broken on purpose" in result.stderr, result
    assert arbiter.workers() == workers and upgrades(arbiter) == 1
    assert get(arbiter.port).status == 200


def test_a_python_configuration_file_and_a_unix_socket_survive_an_upgrade(site):
    site.write("echo.py", ECHO_QUERY)
    config = site.write("conf.py", f"bind = 'unix:{site.root}/app.sock'\nworkers = 2\n")
    arbiter = site.start("-c", config, "echo:application", bind=None)
    inode = (site.root / "app.sock").stat().st_ino
    with Load(f"{site.root}/app.sock", connections=4) as load:
        assert arbiter.cornctl("upgrade").returncode == 0
        load.wait_for(50)
    load.assert_nothing_lost()
    assert (site.root / "app.sock").stat().st_ino == inode
    assert arbiter.stop() == 0
    assert not (site.root / "app.sock").exists()


def test_signals_that_come_during_an_upgrade_are_obeyed_after_it(site):
    arbiter = site.start("-w", "1", "wsgi_test:application")
    for number in (signal.SIGUSR2, signal.SIGTTIN):
        arbiter.send(number)
    wait_until(lambda: upgrades(arbiter) == 1, "the upgrade")
    arbiter.wait_ready(2)
    arbiter.send(signal.SIGUSR2)
    assert arbiter.stop() == 0
    site.assert_nothing_left()


def test_a_signal_whose_default_is_to_be_ignored_survives_an_upgrade(site):
    arbiter = site.start("-w", "1", "wsgi_test:application")
    def asleep():
        result = arbiter.cornctl("--json", "events")
        return result.stdout.count('"DORMANT"') if result.returncode == 0 else -1
    for number in range(1, 7):
        arbiter.send(signal.SIGUSR2)
        # Somewhere between the order and the new program's first turn.
        time.sleep(0.01 * number)
        arbiter.send(signal.SIGWINCH)
        wait_until(lambda wanted=number: asleep() >= wanted, f"sleep {number}")
        arbiter.send(signal.SIGHUP)
        wait_until(lambda wanted=number: upgrades(arbiter) >= wanted, f"upgrade {number}")
        arbiter.wait_ready(1)


def test_watchers_resume_by_sequence_number(site):
    arbiter = site.start("-w", "1", "wsgi_test:application")
    last = int(arbiter.events()[-1]["sequence"])
    assert arbiter.cornctl("upgrade").returncode == 0
    result = arbiter.cornctl("--json", "events", "--after", last)
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert int(events[0]["sequence"]) == last + 1
    assert events[0]["kind"] == "UPGRADE_STARTED"


def test_cornctl_is_answered_whenever_it_asks_during_upgrades(site):
    arbiter = site.start("wsgi_test:application")
    follower = subprocess.Popen([BIN / "cornctl", "--json", "events", "-f"], env=site.environment(),
                                cwd=site.app, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True)
    stop, answers = threading.Event(), []
    def ask():
        while not stop.is_set():
            for command in ("status", "config show", "events"):
                answers.append(arbiter.cornctl(*command.split()))
    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for count in range(1, 6):
            arbiter.send(signal.SIGUSR2)
            wait_until(lambda n=count: upgrades(arbiter) == n, f"upgrade {count}")
            arbiter.wait_ready()
    finally:
        stop.set()
        asking.join()
    failed = [(a.args, a.returncode, a.stderr) for a in answers if a.returncode != 0]
    least = 5 if SANITIZER else 15  # an instrumented cornctl takes a second
    assert not failed and len(answers) > least, (len(answers), failed)
    last = int(arbiter.events()[-1]["sequence"])
    assert arbiter.stop() == 0
    output, complaint = follower.communicate()
    seen = [int(json.loads(line)["sequence"]) for line in output.splitlines()]
    # Over all five programs, nothing missing and nothing twice.
    assert seen == list(range(1, len(seen) + 1)) and seen[-1] >= last, (seen, last, complaint)


def test_until_the_upgrade_the_old_arbiter_starts_the_old_workerd(site, installed):
    arbiter = site.start("-w", "2", "wsgi_test:application", program=installed)
    workerd = installed.with_name("workerd")
    def programs():
        return {os.stat(f"/proc/{pid}/exe").st_ino for pid in arbiter.workers()}
    old = {workerd.stat().st_ino}
    assert programs() == old

    # A package manager has put something newer there, which doesn't understand this arbiter.
    workerd.unlink()
    workerd.write_text("#!/bin/sh\nexit 1\n")
    workerd.chmod(0o755)
    victim = arbiter.workers()[0]
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: victim not in arbiter.all_workers(), "the worker's end to be seen")
    arbiter.wait_ready(2)
    result = arbiter.cornctl("reload")
    assert result.returncode == 0, result
    assert programs() == old
    assert {process_comm(pid) for pid in arbiter.workers()} == {"workerd"}

    workerd.unlink()
    shutil.copy(BIN / "workerd", workerd)
    result = arbiter.cornctl("upgrade")
    assert result.returncode == 0, result
    arbiter.wait_ready(2)
    assert programs() == {workerd.stat().st_ino}
