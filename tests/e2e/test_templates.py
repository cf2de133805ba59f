# SPDX-License-Identifier: Apache-2.0
"""arbiterd and its template processes, by a template that can be made to misbehave."""

import json
import os
import pathlib
import signal

import pytest

from harness import BIN, ECHO_QUERY, get, process_alive, wait_until

FAKE = pathlib.Path(__file__).with_name("fake_template.py")
HOOKS = ("on_starting", "when_ready", "on_reload", "nworkers_changed", "child_exit", "pre_exec",
         "on_exit")


class Templates:
    """The fake's two files."""

    def __init__(self, site):
        self.site = site

    def behave(self, **how):
        self.site.write("behaviour.json", json.dumps(how))

    def told(self, event=None):
        try:
            lines = (self.site.app / "told.jsonl").read_text(encoding="utf-8").splitlines()
        except OSError:
            return []
        return [told for told in map(json.loads, lines) if event in (None, told["event"])]

    def hooks(self, name=None):
        return [told for told in self.told("hook") if name in (None, told["name"])]

    def names(self):
        return [told["name"] for told in self.hooks()]

    def pids(self):
        return [told["pid"] for told in self.told("boot")]


@pytest.fixture
def templates(site):
    site.write("wsgi_test.py", ECHO_QUERY)
    site.write("conf.py", "".join(f"def {name}(*arguments):\n    pass\n" for name in HOOKS))
    return Templates(site)


def start(site, *arguments, **options):
    return site.start("-c", "conf.py", "--workerd", FAKE, *arguments, "wsgi_test:application",
                      environment={"CORN_REAL_WORKERD": str(BIN / "workerd")}, **options)


def test_workers_are_forked_from_one_template_and_are_arbiterds_own_children(site, templates):
    arbiter = start(site, "-w", "3")
    assert len(templates.pids()) == 1
    assert len(templates.told("fork")) == 3
    for pid in arbiter.workers():
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
        assert int(stat.rpartition(")")[2].split()[1]) == arbiter.pid
    assert get(arbiter.port, "/?mine").body == b"mine"
    # channel, scoreboard, one listener, two ends of the hand-off queue, two for adoption
    assert templates.told("fork")[0]["descriptors"] == 7
    assert arbiter.stop() == 0
    site.assert_nothing_left()


def test_hooks_are_called_in_gunicorns_order(site, templates):
    arbiter = start(site, "-w", "2")
    assert templates.names()[:3] == ["nworkers_changed", "on_starting", "when_ready"]
    first = templates.hooks()[0]["arguments"]
    assert first == {"pid": arbiter.pid, "num_workers": 2, "workers": [], "new": 2, "old": None}
    assert [told["event"] for told in templates.told()][:6] == \
        ["boot", "hook", "hook", "hook", "fork", "fork"]

    victim, other = arbiter.workers()
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: templates.hooks("child_exit"), "child_exit")
    arguments = templates.hooks("child_exit")[0]["arguments"]
    assert arguments["worker"] == [victim, 1, -9]
    assert [other, 2] in arguments["workers"] and victim not in dict(arguments["workers"])
    arbiter.wait_ready()

    assert arbiter.cornctl("scale", "default", "3").returncode == 0
    change = templates.hooks("nworkers_changed")[-1]["arguments"]
    assert (change["new"], change["old"]) == (3, 2)

    assert arbiter.stop() == 0
    assert templates.names()[-1] == "on_exit"
    assert len(templates.hooks("child_exit")) == 4
    assert templates.told()[-1]["event"] == "drain"
    site.assert_nothing_left()


def test_reload_forks_from_a_new_template_and_the_old_one_leaves(site, templates):
    arbiter = start(site, "-w", "2")
    assert arbiter.cornctl("reload").returncode == 0
    old, new = templates.pids()
    assert [told["pid"] for told in templates.told("fork")] == [old, old, new, new]
    assert templates.hooks("on_reload")[0]["pid"] == new
    wait_until(lambda: len(templates.hooks("when_ready")) == 2, "the new template to be the only one")
    assert not process_alive(old)
    happened = [told.get("name", told["event"]) for told in templates.told() if told["pid"] == new]
    assert [what for what in happened if what != "child_exit"] == \
        ["boot", "nworkers_changed", "on_starting", "on_reload", "fork", "fork", "when_ready"]
    change = templates.hooks("nworkers_changed")[-1]["arguments"]
    assert (change["new"], change["old"]) == (2, 2)


def test_reload_whose_on_starting_raises_leaves_the_old_workers_serving(site, templates):
    arbiter = start(site, "-w", "2")
    old = arbiter.workers()
    templates.behave(**{"raise": {"on_starting": "OSError: Address already in use\nTraceback: here"}})
    result = arbiter.cornctl("reload")
    assert result.returncode == 1
    text = result.stdout + result.stderr
    assert "on_starting has failed: OSError: Address already in use\nTraceback: here" in text
    assert "A port is opened in when_ready" in text
    assert arbiter.wait_ready() and arbiter.workers() == old
    first, second = templates.pids()
    wait_until(lambda: not process_alive(second), "the template to leave")
    assert not [told for told in templates.told("fork") if told["pid"] == second]
    assert [told["pid"] for told in templates.hooks("when_ready")] == [first]
    templates.behave()
    assert arbiter.cornctl("reload").returncode == 0
    wait_until(lambda: len(templates.hooks("when_ready")) == 2, "when_ready")
    assert templates.hooks("when_ready")[-1]["pid"] == templates.pids()[-1]


def test_reload_whose_on_starting_hangs_fails_after_hook_timeout(site, templates):
    arbiter = start(site, "-w", "1", "--hook-timeout", "1")
    old = arbiter.workers()
    templates.behave(hang=["on_starting"])
    result = arbiter.cornctl("reload")
    assert result.returncode == 1
    assert "on_starting has failed" in result.stdout + result.stderr
    assert arbiter.workers() == old


def test_hook_that_ended_a_template_is_not_called_in_the_next_one(site, templates):
    templates.behave(hang=["when_ready"])
    arbiter = start(site, "-w", "1", "--hook-timeout", "1")
    assert len(templates.hooks("when_ready")) == 1
    assert len(templates.hooks("on_starting")) == 2
    assert "The server hook when_ready is not called again" in arbiter.log()
    assert "locks and values of multiprocessing" not in arbiter.log()
    assert arbiter.stop() == 0


def test_template_that_dies_in_its_first_hook_takes_the_others_along(site, templates):
    templates.behave(hang=["nworkers_changed"])
    start(site, "-w", "1", "--hook-timeout", "1")
    first, second = templates.pids()
    assert [(told["pid"], told["name"]) for told in templates.hooks()] == \
        [(first, "nworkers_changed"), (second, "on_starting"), (second, "when_ready")]


def test_template_that_cannot_boot_ends_the_first_start(site, templates):
    templates.behave(boot="fail")
    arbiter = start(site, "-w", "2", ready=False)
    assert arbiter.wait_exit() == 4
    assert "it cannot be loaded\nTraceback: here" in arbiter.log()
    site.assert_nothing_left()


def test_template_that_dies_while_booting_ends_the_first_start(site, templates):
    templates.behave(boot="die")
    arbiter = start(site, ready=False)
    assert arbiter.wait_exit() == 3
    site.assert_nothing_left()


def test_template_that_hangs_while_booting_is_killed_after_boot_timeout(site, templates):
    templates.behave(boot="hang")
    arbiter = start(site, "--boot-timeout", "1", ready=False)
    assert arbiter.wait_exit() == 3
    assert "boot_timeout" in arbiter.log()
    site.assert_nothing_left()


def test_reload_whose_template_cannot_boot_leaves_the_old_workers_serving(site, templates):
    arbiter = start(site, "-w", "2")
    old = arbiter.workers()
    templates.behave(boot="fail")
    result = arbiter.cornctl("reload")
    assert result.returncode == 1
    assert "it cannot be loaded" in result.stdout + result.stderr
    assert arbiter.wait_ready() and arbiter.workers() == old
    # One that dies comes back from the old template.
    os.kill(old[0], signal.SIGKILL)
    wait_until(lambda: len(arbiter.workers()) == 2 and old[0] not in arbiter.workers(),
               "the replacement")
    assert templates.told("fork")[-1]["pid"] == templates.pids()[0]


def test_template_that_was_killed_is_replaced_when_it_is_needed(site, templates):
    arbiter = start(site, "-w", "2")
    (first,) = templates.pids()
    os.kill(first, signal.SIGKILL)
    arbiter.wait_for_log("Unexpectedly the template process")
    assert len(arbiter.workers()) == 2
    os.kill(arbiter.workers()[0], signal.SIGKILL)
    wait_until(lambda: len(templates.pids()) == 2, "another template")
    arbiter.wait_ready()
    second = templates.pids()[1]
    assert [told["name"] for told in templates.hooks() if told["pid"] == second] == \
        ["nworkers_changed", "on_starting", "when_ready", "child_exit"]
    arbiter.wait_for_log("locks and values of multiprocessing .* are not shared")
    assert arbiter.stop() == 0
    site.assert_nothing_left()


def test_worker_whose_template_died_right_after_its_fork_is_taken_over(site, templates):
    arbiter = start(site, "-w", "1")
    templates.behave(fork="die after")
    arbiter.send(signal.SIGTTIN)
    wait_until(lambda: len(arbiter.workers()) == 2, "the second worker")
    templates.behave()
    assert len(templates.told("fork")) == 2
    assert arbiter.stop() == 0
    site.assert_nothing_left()


def test_worker_whose_template_died_before_its_fork_comes_from_another(site, templates):
    arbiter = start(site, "-w", "1")
    templates.behave(fork="die before")
    arbiter.send(signal.SIGTTIN)
    wait_until(lambda: len(templates.told("fork")) == 2, "the fork")
    templates.behave()
    arbiter.wait_ready(2)
    assert [event for event in arbiter.exits() if event["pid"] == 0]


def test_pid_that_is_no_child_is_not_believed(site, templates):
    arbiter = start(site, "-w", "1")
    templates.behave(fork="lie")
    arbiter.send(signal.SIGTTIN)
    wait_until(lambda: [event for event in arbiter.exits() if event["pid"] == 0], "the failure")
    templates.behave()
    arbiter.wait_ready(2)


def test_refused_fork_backs_off_and_tells_why(site, templates):
    arbiter = start(site, "-w", "1")
    templates.behave(fork="fail")
    arbiter.send(signal.SIGTTIN)
    wait_until(lambda: len(templates.told("fork")) > 2, "another attempt")
    assert "pre_fork: no" in arbiter.log()
    assert len(arbiter.workers()) == 1
    templates.behave()
    arbiter.wait_ready(2)


def test_exception_in_on_starting_ends_the_start(site, templates):
    templates.behave(**{"raise": {"on_starting": "ValueError: no\nTraceback: here"}})
    arbiter = start(site, ready=False)
    assert arbiter.wait_exit() == 1
    assert "on_starting has failed: ValueError: no\nTraceback: here" in arbiter.log()
    assert not templates.told("fork")
    site.assert_nothing_left()


def test_exceptions_in_other_hooks_are_logged_and_nothing_else(site, templates):
    templates.behave(**{"raise": {name: f"{name} says no" for name in HOOKS if name != "on_starting"}})
    arbiter = start(site)
    os.kill(arbiter.workers()[0], signal.SIGKILL)
    arbiter.wait_for_log("child_exit has failed: child_exit says no")
    arbiter.wait_ready()
    assert arbiter.stop() == 0
    for name in ("nworkers_changed", "when_ready", "on_exit"):
        assert f"{name} has failed: {name} says no" in arbiter.log()


def test_hanging_hook_holds_up_no_worker_and_is_killed(site, templates):
    arbiter = start(site, "-w", "2", "--hook-timeout", "2")
    templates.behave(hang=["child_exit"])
    os.kill(arbiter.workers()[0], signal.SIGKILL)
    wait_until(lambda: templates.hooks("child_exit"), "the hook to hang")
    templates.behave()
    # Its worker was forked behind it, so it comes from another template.
    arbiter.wait_ready(2)
    first, second = templates.pids()
    assert templates.told("fork")[-1]["pid"] == second
    arbiter.wait_for_log("the hook child_exit of .*conf.py has taken longer than hook_timeout")
    wait_until(lambda: not process_alive(first), "the hanging template's end")
    # What the first one had opened is free only now.
    wait_until(lambda: len(templates.hooks("when_ready")) == 2, "when_ready")
    assert [told["name"] for told in templates.hooks() if told["pid"] == second] == \
        ["nworkers_changed", "on_starting", "when_ready"]
    assert arbiter.stop() == 0
    site.assert_nothing_left()


def test_worker_that_waits_for_a_slow_on_starting_is_forked_after_it(site, templates):
    templates.behave(slow={"on_starting": 1.5})
    start(site)
    assert len(templates.pids()) == 1


def test_worker_called_off_before_its_fork_never_comes(site, templates):
    arbiter = start(site, "-w", "1")
    templates.behave(fork="hang")
    arbiter.send(signal.SIGTTIN)
    wait_until(lambda: len(templates.told("fork")) == 2, "the fork to hang")
    arbiter.send(signal.SIGTTIN)
    wait_until(lambda: arbiter.status()["pools"][0]["target"] == 3, "the target")
    arbiter.send(signal.SIGTTOU)
    arbiter.send(signal.SIGTERM)
    assert arbiter.wait_exit(20) == 0
    assert len(templates.told("fork")) == 2
    site.assert_nothing_left()


def test_upgrade_in_place_runs_pre_exec_and_ends_in_a_new_template(site, templates):
    arbiter = start(site, "-w", "2")
    (old,) = templates.pids()
    arbiter.send(signal.SIGUSR2)
    wait_until(lambda: (arbiter.try_status() or {"arbiter": {"upgrades": "0"}})["arbiter"]
               ["upgrades"] == "1", "the upgrade")
    wait_until(lambda: arbiter.settled() and arbiter.status()["arbiter"]["reloads"] == "1",
               "the reload")
    assert templates.hooks("pre_exec")[0]["pid"] == old
    wait_until(lambda: len(templates.hooks("when_ready")) == 2, "when_ready")
    assert len(templates.hooks("on_starting")) == 2
    wait_until(lambda: not process_alive(old), "the old template's end")
    assert arbiter.stop() == 0
    assert templates.names()[-1] == "on_exit"
    site.assert_nothing_left()


def test_killed_boot_of_a_template_is_begun_again(site, templates):
    arbiter = start(site, "-w", "1")
    old = arbiter.workers()
    templates.behave(boot="hang")
    arbiter.send(signal.SIGHUP)
    wait_until(lambda: len(templates.pids()) == 2, "a template that boots")
    templates.behave()
    os.kill(templates.pids()[1], signal.SIGKILL)
    wait_until(lambda: arbiter.status()["arbiter"]["reloads"] == "1" and arbiter.settled(),
               "the reload")
    assert len(templates.pids()) == 3 and arbiter.workers() != old
    assert arbiter.stop() == 0


def test_adopting_arbiter_runs_the_hooks_of_a_start_at_once(site, templates):
    arbiter = start(site, "-w", "1")
    workers, (old,) = arbiter.workers(), templates.pids()
    arbiter.kill()
    wait_until(lambda: not process_alive(old), "the orphaned template's end")
    second = start(site, "-w", "1")
    wait_until(lambda: len(templates.hooks("when_ready")) == 2, "when_ready")
    assert len(templates.hooks("on_starting")) == 2
    assert second.workers() == workers and len(templates.told("fork")) == 1
    assert second.stop() == 0
    site.assert_nothing_left()


def test_adopting_arbiter_makes_a_template_when_a_worker_is_wanted(site, templates):
    site.write("conf.py", "def child_exit(server, worker):\n    pass\n")
    arbiter = start(site, "-w", "2")
    workers, (old,) = arbiter.workers(), templates.pids()
    arbiter.kill()
    wait_until(lambda: not process_alive(old), "the orphaned template's end")
    second = start(site, "-w", "2")
    assert second.workers() == workers
    os.kill(workers[0], signal.SIGKILL)
    wait_until(lambda: len(templates.pids()) == 2, "a template")
    second.wait_ready()
    assert not templates.hooks("on_starting")
    assert second.stop() == 0
    site.assert_nothing_left()
