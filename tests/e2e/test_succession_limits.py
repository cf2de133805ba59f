# SPDX-License-Identifier: Apache-2.0
"""What the settings want can't be had when an arbiter takes over from another one: an upgrade is refused, or
goes on with what there was, and so does an adoption. Workers are never left alone."""

import os
import shutil
import signal
import socket

import pytest

from harness import free_port, get, wait_until

SETTINGS = """
[arbiter]
proc_name = "{name}"
{arbiter}
[pool.web]
wsgi_app = "wsgi_test:application"
workers = 2
orphan_timeout = 10
bind = [{binds}]
{pool}
"""


class Instance:
    """An instance whose settings file is rewritten while it runs."""

    def __init__(self, site, **settings):
        self.site = site
        self.port = free_port()
        self.config = site.root / "corn.toml"
        self.write(**settings)
        self.arbiter = site.start("-c", self.config, bind=None)
        self.workers = self.arbiter.workers()

    def write(self, arbiter="", pool="", name="shop", binds=()):
        binds = ", ".join(f'"{bind}"' for bind in (f"127.0.0.1:{self.port}", *binds))
        self.config.write_text(SETTINGS.format(name=name, arbiter=arbiter, pool=pool, binds=binds))

    def assert_serving(self):
        assert self.arbiter.workers() == self.workers
        assert get(self.port).status == 200

    def assert_upgrade_is_refused_with(self, text):
        refused = self.arbiter.cornctl("upgrade")
        assert refused.returncode == 1 and text in refused.stderr, refused
        assert "everything stays as it was" in refused.stderr, refused
        status = self.arbiter.status()["arbiter"]
        assert (status["upgrades"], status["pid"]) == ("0", self.arbiter.pid)
        self.assert_serving()

    def assert_upgraded(self):
        done = self.arbiter.cornctl("upgrade")
        assert done.returncode == 0, done
        status = self.arbiter.status()["arbiter"]
        assert (status["upgrades"], status["pid"]) == ("1", self.arbiter.pid)


@pytest.fixture
def taken():
    """An address that somebody else listens on."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield f"127.0.0.1:{other.getsockname()[1]}"


@pytest.mark.parametrize("bind", ["192.0.2.1:8081", "unix:/nonexistent/app.sock",
                                  "no.such.host.invalid:80"])
def test_an_address_that_cannot_be_had_refuses_the_upgrade(site, bind):
    instance = Instance(site)
    instance.write(binds=[bind])
    assert instance.arbiter.cornctl("reload").returncode == 1
    instance.assert_upgrade_is_refused_with(f"cannot listen on {bind}")


def test_a_port_that_is_taken_or_named_twice_refuses_the_upgrade(site, taken):
    instance = Instance(site)
    instance.write(binds=[taken])
    instance.assert_upgrade_is_refused_with(f"cannot listen on {taken}")
    free = f"unix:{site.root}/new.sock"
    instance.write(binds=[free, free])
    instance.assert_upgrade_is_refused_with("is named twice")
    assert not (site.root / "new.sock").exists()
    instance.write(binds=[free])
    instance.assert_upgraded()
    assert (site.root / "new.sock").exists()


@pytest.mark.parametrize("setting, table", [("errorlog", "arbiter"), ("accesslog", "pool")])
def test_a_log_whose_directory_has_gone_refuses_the_upgrade(site, setting, table):
    logs = site.root / "logs"
    logs.mkdir()
    instance = Instance(site, **{table: f'{setting} = "{logs}/x.log"'})
    shutil.rmtree(logs)
    instance.assert_upgrade_is_refused_with(f"{logs}/x.log")
    logs.mkdir()
    instance.assert_upgraded()


@pytest.mark.parametrize("setting", ['pidfile = "/nonexistent/p.pid"',
                                     'control = "unix:/nonexistent/c.sock"',
                                     'worker_cgroups = "/nonexistent"'])
def test_what_takes_a_restart_is_kept_by_an_upgrade(site, setting):
    instance = Instance(site)
    instance.write(arbiter=setting)
    instance.assert_upgraded()
    instance.arbiter.wait_for_log(f"{setting.split()[0]} = .*takes a restart of arbiterd")


def test_an_instance_keeps_its_name_in_an_upgrade(site):
    instance = Instance(site)
    instance.write(name="other")
    instance.assert_upgraded()
    assert instance.arbiter.status()["arbiter"]["instance"] == "shop"
    instance.arbiter.wait_for_log('proc_name = "other" takes a restart of arbiterd; "shop" stays')


def test_a_pid_file_that_has_gone_is_told_by_a_reload_and_stops_no_upgrade(site):
    directory = site.root / "pids"
    directory.mkdir()
    instance = Instance(site, arbiter=f'pidfile = "{directory}/p.pid"')
    shutil.rmtree(directory)
    assert instance.arbiter.cornctl("reload").returncode == 0
    instance.arbiter.wait_for_log(f"the pid file {directory}/p.pid is gone")
    instance.assert_upgraded()
    instance.arbiter.wait_for_log(f"cannot write the pid file {directory}/p.pid .*going on without")
    directory.mkdir()
    assert instance.arbiter.cornctl("upgrade").returncode == 0
    assert (directory / "p.pid").read_text().strip() == str(instance.arbiter.pid)


PRE_EXEC = """
import os, shutil
bind = ["127.0.0.1:{port}"]
workers = 2
proc_name = "shop"
orphan_timeout = 10
root = "{root}"
{settings}
def pre_exec(server):
    # Between the check of the new program and its start.
    {change}
"""


@pytest.mark.parametrize("settings, change, complaint", [
    ("bind += [f'unix:{root}/d/new.sock'] if os.path.exists(f'{root}/more') else []",
     "shutil.rmtree(f'{root}/d')", "cannot listen on unix:.*/d/new.sock"),
    ("errorlog = f'{root}/d/error.log'",
     "shutil.rmtree(f'{root}/d')", "cannot open the log file '.*/d/error.log'"),
    ("accesslog = f'{root}/d/access.log'",
     "shutil.rmtree(f'{root}/d')", "cannot open the log file '.*/d/access.log'"),
], ids=["bind", "errorlog", "accesslog"])
def test_what_goes_wrong_after_the_check_fails_the_reload_alone(site, settings, change, complaint):
    directory = site.root / "d"
    directory.mkdir()
    port = free_port()
    config = site.write("conf.py", PRE_EXEC.format(port=port, root=site.root, settings=settings,
                                                   change=change))
    arbiter = site.start("-c", config, "wsgi_test:application", bind=None)
    workers = arbiter.workers()
    kept = (directory / "error.log").open("rb") if "errorlog" in settings else None
    (site.root / "more").touch()
    result = arbiter.cornctl("upgrade")
    assert result.returncode == 1, result
    assert "the arbiter was upgraded, but workers could not be" in result.stderr, result
    status = arbiter.status()["arbiter"]
    assert (status["upgrades"], status["pid"]) == ("1", arbiter.pid)
    assert arbiter.workers() == workers and get(port).status == 200
    if kept:
        # The file that was open before is still written to.
        assert b"going on without" in kept.read()
        kept.close()
    else:
        arbiter.wait_for_log(complaint + ".*going on without")
    directory.mkdir()
    config.write_text(config.read_text().replace(change, "pass"))
    done = arbiter.cornctl("reload")
    assert done.returncode == 0, done
    arbiter.wait_ready(2)
    assert (directory / "error.log").exists() == bool(kept)
    assert arbiter.stop() == 0


def test_settings_that_break_after_the_check_are_awaited_while_workers_serve(site):
    port = free_port()
    config = site.write("conf.py", PRE_EXEC.format(
        port=port, root=site.root, settings="",
        change="open(f'{root}/app/conf.py', 'a').write('broken = 1 / 0')"))
    assert config == site.root / "app" / "conf.py"
    arbiter = site.start("-c", config, "wsgi_test:application", bind=None)
    good = config.read_text()
    workers = arbiter.workers()
    arbiter.send(signal.SIGUSR2)
    arbiter.wait_for_log("workers serve on, and it is tried again")
    assert get(port).status == 200
    config.write_text(good)
    arbiter.send(signal.SIGHUP)
    wait_until(lambda: (arbiter.try_status() or {"arbiter": {"upgrades": "0"}})["arbiter"]["upgrades"]
               == "1", "the upgrade")
    wait_until(lambda: len(arbiter.workers()) == 2 and not set(arbiter.workers()) & set(workers),
               "the reload")
    assert arbiter.stop() == 0
    site.assert_nothing_left()


def test_settings_that_stay_broken_after_the_check_can_be_given_up(site):
    port = free_port()
    config = site.write("conf.py", PRE_EXEC.format(
        port=port, root=site.root, settings="", change="os.remove(f'{root}/app/conf.py')"))
    arbiter = site.start("-c", config, "wsgi_test:application", bind=None)
    arbiter.send(signal.SIGUSR2)
    arbiter.wait_for_log("workers serve on, and it is tried again")
    assert arbiter.stop() == 2
    wait_until(lambda: not site.processes(), "all processes to be gone")


@pytest.mark.parametrize("broken", ["bind", "errorlog", "accesslog", "pidfile", "control",
                                    "worker_cgroups"])
def test_an_arbiter_that_finds_orphans_goes_on_without_what_cannot_be_had(site, broken):
    instance = Instance(site)
    text = {
        "bind": ("cannot listen on unix:/nonexistent/a.sock", {"binds": ["unix:/nonexistent/a.sock"]}),
        "errorlog": ("cannot open the log file '/nonexistent/e.log'",
                     {"arbiter": 'errorlog = "/nonexistent/e.log"'}),
        "accesslog": ("cannot open the log file '/nonexistent/a.log'",
                      {"pool": 'accesslog = "/nonexistent/a.log"'}),
        "pidfile": ("cannot write the pid file /nonexistent/p.pid",
                    {"arbiter": 'pidfile = "/nonexistent/p.pid"'}),
        "control": ("cannot make the control socket /nonexistent/c.sock",
                    {"arbiter": 'control = "unix:/nonexistent/c.sock"'}),
        "worker_cgroups": ("worker_cgroups = /nonexistent",
                           {"arbiter": 'worker_cgroups = "/nonexistent"'}),
    }
    complaint, settings = text[broken]
    instance.write(**settings)
    refused = site.run_arbiter("-c", instance.config)
    assert refused.returncode == 1 and "already running" in refused.stderr, refused
    instance.arbiter.process.send_signal(signal.SIGKILL)
    instance.arbiter.process.wait()
    instance.arbiter = site.start("-c", instance.config, bind=None, ready=False)
    instance.arbiter.wait_for_log(complaint)
    wait_until(instance.arbiter.try_status, "the successor")
    if broken in ("bind", "errorlog", "accesslog"):
        wait_until(lambda: "RELOAD_FAILED" in {e["kind"] for e in instance.arbiter.events()},
                   "the reload's failure")
        instance.assert_serving()
        instance.write()
        assert instance.arbiter.cornctl("reload").returncode == 0
    instance.arbiter.wait_ready(2)
    assert get(instance.port).status == 200
    assert instance.arbiter.stop() == 0
    site.assert_nothing_left()


def test_a_pool_that_cannot_be_reached_yet_comes_with_a_later_reload(site):
    instance = Instance(site)
    port = free_port()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        instance.write(pool=f"""
[pool.more]
wsgi_app = "wsgi_test:application"
workers = 1
bind = "127.0.0.1:{port}"
""")
        instance.arbiter.process.send_signal(signal.SIGKILL)
        instance.arbiter.process.wait()
        instance.arbiter = site.start("-c", instance.config, bind=None, ready=False)
        instance.arbiter.wait_for_log(f"cannot listen on 127.0.0.1:{port}.*going on without")
        wait_until(instance.arbiter.try_status, "the successor")
        wait_until(lambda: "RELOAD_FAILED" in {e["kind"] for e in instance.arbiter.events()},
                   "the reload's failure")
        assert [pool["name"] for pool in instance.arbiter.status()["pools"]] == ["web"]
        instance.assert_serving()
    assert instance.arbiter.cornctl("reload").returncode == 0
    assert get(port).status == 200 and get(instance.port).status == 200


def test_an_upgrade_waits_on_for_an_orphan_that_stands_still(site):
    instance = Instance(site)
    still = instance.workers[0]
    os.kill(still, signal.SIGSTOP)
    instance.arbiter.process.send_signal(signal.SIGKILL)
    instance.arbiter.process.wait()
    instance.arbiter = site.start("-c", instance.config, bind=None, ready=False)
    instance.arbiter.wait_for_log("adopted 2 workers")
    instance.arbiter.send(signal.SIGUSR2)
    instance.arbiter.wait_for_log("has taken over from")
    assert get(instance.port).status == 200
    os.kill(still, signal.SIGCONT)
    wait_until(lambda: len(instance.arbiter.workers()) == 2 and
               not set(instance.arbiter.all_workers()) & set(instance.workers), "the reload")
    assert instance.arbiter.stop() == 0
