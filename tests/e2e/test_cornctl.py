# SPDX-License-Identifier: Apache-2.0
"""cornctl against a live instance: what it does, what it prints, how it ends."""

import json
import os
import re
import subprocess

import pytest

from harness import BIN, get, process_alive, wait_until


def test_status_shows_the_instance_in_80_columns(site):
    arbiter = site.start("-w", "2", "wsgi_test:application")
    get(arbiter.port)
    result = arbiter.cornctl("status")
    assert result.returncode == 0, result
    for worker in arbiter.workers():
        assert str(worker) in result.stdout
    assert "READY" in result.stdout and str(arbiter.pid) in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "\x1b" not in result.stdout, "no colour where there is no terminal"


def test_json_carries_the_names_that_scripts_rely_on(site):
    arbiter = site.start("-w", "2", "wsgi_test:application")
    for _ in range(7):
        get(arbiter.port)
    for arguments in (["--json", "status"], ["status", "--json"]):
        status = json.loads(arbiter.cornctl(*arguments).stdout)
        assert {"pid", "version", "instance", "startedAt", "uptimeSeconds", "reloads",
                "upgrades"} <= set(status["arbiter"])
        pool = status["pools"][0]
        assert {"name", "state", "target", "ready", "generation", "listeners", "requestsTotal",
                "errorsTotal", "restartsTotal", "latencyP50Ms", "latencyP99Ms"} <= set(pool)
        for worker in pool["workers"]:
            assert {"pid", "state", "generation", "ageSeconds", "requests", "inFlight", "busy",
                    "rssBytes"} <= set(worker)
            assert worker["state"] == "READY" and int(worker["rssBytes"]) > 1 << 20
    assert (status["arbiter"]["pid"], pool["target"], pool["ready"]) == (arbiter.pid, 2, 2)
    wait_until(lambda: arbiter.status()["pools"][0]["requestsTotal"] == "7", "all 7 requests counted")


def test_totals_include_workers_that_have_gone(site):
    arbiter = site.start("-w", "1", "wsgi_test:application")
    for _ in range(3):
        get(arbiter.port)
    assert arbiter.cornctl("reload").returncode == 0
    get(arbiter.port)
    assert arbiter.status()["pools"][0]["requestsTotal"] == "4"


def test_restart_replaces_one_worker_gracefully(site):
    arbiter = site.start("-w", "2", "wsgi_test:application")
    victim, other = arbiter.workers()
    result = arbiter.cornctl("restart", str(victim))
    assert result.returncode == 0, result
    assert not process_alive(victim) and other in arbiter.workers()
    assert len(arbiter.workers()) == 2


def test_kill_replaces_one_worker_now_and_says_who_did_it(site):
    arbiter = site.start("-w", "2", "wsgi_test:application")
    victim = arbiter.workers()[0]
    assert arbiter.cornctl("kill", str(victim)).returncode == 0
    assert [(end["pid"], end["cause"]) for end in arbiter.exits()] == \
        [(victim, "killed-by-operator")]
    arbiter.wait_ready(2)


def test_commands_about_unknown_things_fail_with_status_1(site):
    arbiter = site.start("wsgi_test:application")
    for arguments in (["restart", str(os.getpid())], ["kill", "999999999"], ["status", "nowhere"],
                      ["reload", "nowhere"], ["scale", "nowhere", "2"],
                      ["events", "--pool", "nowhere"], ["events", "-f", "--pool", "nowhere"]):
        result = arbiter.cornctl(*arguments)
        assert result.returncode in (1, 2) and result.stderr.strip(), (arguments, result)
    assert arbiter.settled() and arbiter.exits() == []


def test_events_tell_the_history_in_order(site):
    arbiter = site.start("-w", "1", "wsgi_test:application")
    assert arbiter.cornctl("reload").returncode == 0
    events = arbiter.events()
    assert [int(event["sequence"]) for event in events] == list(range(1, len(events) + 1))
    kinds = [event["kind"] for event in events]
    for earlier, later in (("WORKER_SPAWNED", "WORKER_READY"), ("WORKER_READY", "RELOAD_STARTED"),
                           ("RELOAD_STARTED", "RELOAD_SUCCEEDED")):
        assert kinds.index(earlier) < kinds.index(later), kinds
    text = arbiter.cornctl("events").stdout
    assert len(text.splitlines()) >= len(events)


def test_config_show_names_where_each_value_came_from(site):
    site.write("corn.toml", '[pool.web]\nwsgi_app = "wsgi_test:application"\n'
               'bind = "127.0.0.1:0"\nworkers = 2\n')
    arbiter = site.start("--threads", "3", bind=None)
    settings = {setting["name"]: setting for setting in arbiter.json("config", "show")["settings"]}
    assert (settings["workers"]["value"], settings["threads"]["value"]) == ("2", "3")
    assert settings["workers"]["origin"].endswith("corn.toml:4")
    assert settings["threads"]["origin"] == "command line"
    assert settings["timeout"]["origin"] == "default"


def test_config_check_judges_a_file_and_changes_nothing(site):
    arbiter = site.start("wsgi_test:application")
    good = site.write("good.toml", '[pool.web]\nwsgi_app = "wsgi_test:application"\n')
    bad = site.write("bad.toml", '[pool.web]\nwsgi_app = "wsgi_test:application"\nworkers = -1\n')
    assert arbiter.cornctl("config", "check", good).returncode == 0
    result = arbiter.cornctl("config", "check", bad)
    assert result.returncode == 1 and "bad.toml:3" in result.stdout + result.stderr
    assert arbiter.settled() and arbiter.exits() == []


def test_reopen_logs_and_shutdown(site):
    log = site.root / "error.log"
    arbiter = site.start("--error-logfile", log, "wsgi_test:application")
    log.rename(site.root / "error.log.1")
    assert arbiter.cornctl("reopen-logs").returncode == 0
    wait_until(log.exists, "a new log file")
    assert arbiter.cornctl("shutdown").returncode == 0
    assert arbiter.wait_exit() == 0
    site.assert_nothing_left()


def test_instances_are_found_listed_and_told_apart(site):
    nobody = site.cornctl("status")
    assert nobody.returncode == 3 and nobody.stderr.strip()
    site.start("--name", "one", "wsgi_test:application")
    assert site.cornctl("status").returncode == 0
    two = site.start("--name", "two", "wsgi_test:application", ready=False)
    wait_until(lambda: site.cornctl("-i", "two", "--json", "status").returncode == 0, "the second")
    unclear = site.cornctl("status")
    assert unclear.returncode == 2 and "one" in unclear.stderr and "two" in unclear.stderr
    listed = site.cornctl("ls")
    assert listed.returncode == 0
    assert re.search(r"^one\b", listed.stdout, re.MULTILINE)
    assert re.search(r"^two\b", listed.stdout, re.MULTILINE)
    status = json.loads(site.cornctl("-i", "two", "--json", "status").stdout)
    assert status["arbiter"]["pid"] == two.pid
    sockets = [name for name in site.runtime_files() if name.endswith("two.sock")]
    address = f"unix:{site.run / sockets[0]}"
    assert site.cornctl("--control", address, "status").returncode == 0
    assert site.cornctl("status", environment={"CORN_CONTROL": address}).returncode == 0


def test_usage_errors_end_with_status_2(site):
    for arguments in ([], ["frobnicate"], ["scale"], ["kill"], ["kill", "abc"], ["status", "--colour"]):
        result = site.cornctl(*arguments)
        assert result.returncode == 2 and (result.stderr + result.stdout).strip(), (arguments, result)
    assert site.cornctl("--help").returncode == 0
    assert re.search(r"\d+\.\d+\.\d+", site.cornctl("version").stdout)


def test_what_comes_later_is_refused_in_a_sentence(site):
    arbiter = site.start("wsgi_test:application")
    for arguments in (["top"], ["logs"]):
        result = arbiter.cornctl(*arguments)
        assert result.returncode != 0 and result.stderr.strip(), (arguments, result)
    assert arbiter.exits() == []


def test_a_time_limit_that_passes_is_status_4_and_the_work_goes_on(site):
    site.write("slow.py", "import time\ntime.sleep(3)\nfrom wsgi_test import application\n")
    arbiter = site.start("slow:application")
    assert arbiter.cornctl("--timeout", "0.5", "scale", "2").returncode == 4
    arbiter.wait_ready(2)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_other_users_are_not_let_in(site):
    arbiter = site.start("wsgi_test:application")
    address = next(site.run.rglob("*.sock"))
    for directory in (site.run, address.parent):
        directory.chmod(0o755)
    address.chmod(0o666)  # so that it is the arbiter that refuses, not the file system
    result = subprocess.run([BIN / "cornctl", "--control", f"unix:{address}", "status"],
                            env=site.environment(), capture_output=True, text=True, user=65534,
                            group=65534, extra_groups=[], timeout=60, check=False)
    assert result.returncode == 5 and result.stderr.strip(), result
    assert arbiter.status()
