# SPDX-License-Identifier: Apache-2.0
"""corn.app.base from a script: python3 becomes the arbiter, and the script's state lives in its workers."""
import json
import os
import pathlib
import pty
import re
import signal
import subprocess

import pytest

from harness import (BIN, EXAMPLES, SANITIZER, get, needs, process_alive, process_comm,
                     wait_until)

# The engine is a part of Debian's python3 here, which can't hold an instrumented one.
pytestmark = pytest.mark.skipif(bool(SANITIZER), reason="the engine is instrumented")
PACKAGES = BIN.parent / "python"
PYTHON = "/usr/bin/python3"

SCRIPT = """
import atexit, json, os, sys
from corn.app.base import BaseApplication

def tell(word, **values):
    with open("told", "a") as file:
        file.write(json.dumps({"word": word, "pid": os.getpid(), **values}) + "\\n")

class Mine(BaseApplication):
    def load_config(self):
        self.cfg.set("bind", "127.0.0.1:0")
        SETTINGS

    def load(self):
        BEFORE_LOAD
        self.loaded_in = os.getpid()
        def application(environ, start_response):
            body = json.dumps(self.answer(environ)).encode()
            start_response("200 OK", [("Content-Length", str(len(body)))])
            return [body]
        return application

    def answer(self, environ):
        return {"pid": os.getpid(), "loaded_in": self.loaded_in}

BEFORE_RUN
atexit.register(tell, "atexit")
try:
    Mine().run()
finally:
    tell("finally")
"""


def write_script(site, settings="pass", before_load="pass", before_run="", script=SCRIPT):
    for word, text in (("SETTINGS", settings), ("BEFORE_LOAD", before_load),
                       ("BEFORE_RUN", before_run)):
        indentation = re.search(rf"^( *){word}$", script, re.MULTILINE).group(1)
        script = script.replace(indentation + word, "\n".join(
            indentation + line for line in text.splitlines()))
    return site.write("script.py", script)


def start(site, *arguments, script="script.py", **options):
    environment = {"PYTHONPATH": str(PACKAGES), **options.pop("environment", {})}
    return site.start(*(() if script is None else (script,)), *arguments, bind=None, program=PYTHON,
                      environment=environment, **options)


def run_to_its_end(site, *arguments):
    return subprocess.run([PYTHON, "script.py", *arguments], cwd=site.app, capture_output=True,
                          text=True, env=site.environment({"PYTHONPATH": str(PACKAGES)}),
                          timeout=60, check=False)


def told(site, word):
    path = site.app / "told"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [entry for entry in map(json.loads, lines) if entry["word"] == word]


def answer(arbiter):
    return json.loads(get(arbiter.port).body)


def script_process(arbiter):
    """Pid of the process in which the script goes on."""
    children = pathlib.Path(f"/proc/{arbiter.pid}/task/{arbiter.pid}/children").read_text("ascii")
    found = [int(pid) for pid in children.split() if process_comm(pid).startswith("python")]
    assert len(found) == 1, found
    return found[0]


# ---- the counter, as its users know it from gunicorn ----


@pytest.fixture(params=["corn", "compat"])
def counter(request, site):
    """How to start the counter's server: as it is, and with gunicorn's name in it instead."""
    needs("python3:bottle")
    text = (EXAMPLES / "stateful" / "counter_server.py").read_text(encoding="utf-8")
    if request.param == "compat":
        text = text.replace("import corn.app.base", "import gunicorn.app.base")
        text = text.replace("(corn.app.base.", "(gunicorn.app.base.")
        assert "import corn" not in text
    site.write("counter_server.py", text)
    prefix = ["-m", "corn.compat"] if request.param == "compat" else []

    def start_counter(**options):
        return start(site, *prefix, "counter_server.py", "127.0.0.1:0", "10", script=None, **options)
    return start_counter


def count(port):
    response = get(port, "/getvalue")
    assert response.status == 200, response.body
    return json.loads(response.body)["value"]


def test_the_count_survives_any_number_of_restarts(site, counter):
    arbiter = counter()
    served = 0
    while len(arbiter.exits()) < 3:  # a worker serves on until its arbiter has told it to go
        assert [count(arbiter.port) for _ in range(5)] == list(range(served + 1, served + 6))
        served += 5
        assert served < 1000, "three workers to have been replaced"
    arbiter.send(signal.SIGHUP)
    arbiter.wait_for_log("counting on from|Booting worker", count=5)
    assert [count(arbiter.port) for _ in range(12)] == list(range(served + 1, served + 13))
    served += 12
    assert arbiter.stop(signal.SIGTERM) == 0
    assert (site.app / "state.txt").read_text(encoding="ascii") == str(served)
    site.assert_nothing_left()
    again = counter()
    assert count(again.port) == served + 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_the_count_is_saved_when_the_server_is_ended(site, counter, number):
    arbiter = counter()
    assert [count(arbiter.port) for _ in range(5)] == [1, 2, 3, 4, 5]
    assert arbiter.stop(number) == 0
    assert (site.app / "state.txt").read_text(encoding="ascii") == "5"
    site.assert_nothing_left()


def test_the_count_is_saved_at_ctrl_c_in_a_terminal(site, counter):
    keyboard, terminal = pty.openpty()
    try:
        arbiter = counter(stdin=terminal, preexec_fn=lambda: os.login_tty(0) or None,
                          stdout=None, stderr=None, ready=False)
        log = b""
        while not re.search(rb"Listening at: http://127\.0\.0\.1:(\d+)", log):
            log += os.read(keyboard, 65536)
        port = int(re.search(rb"Listening at: http://127\.0\.0\.1:(\d+)", log).group(1))
        assert [count(port) for _ in range(3)] == [1, 2, 3]
        os.write(keyboard, b"\x03")
        assert arbiter.wait_exit() == 0
    finally:
        os.close(terminal)
        os.close(keyboard)
    assert (site.app / "state.txt").read_text(encoding="ascii") == "3"


# ---- the script ----


def test_python_becomes_the_arbiter_under_the_same_pid(site):
    write_script(site)
    arbiter = start(site)
    assert arbiter.status()["arbiter"]["pid"] == arbiter.pid
    assert process_comm(arbiter.pid) == "arbiterd"
    assert answer(arbiter)["pid"] == arbiter.workers()[0]
    assert arbiter.stop() == 0
    site.assert_nothing_left()


def test_what_the_script_made_is_there_in_workers(site):
    write_script(site, before_run="import threading\n"
                 "secret = [1]\n"
                 "def closure(n):\n"
                 "    def inner():\n"
                 "        return secret + [n, lock.locked()]\n"
                 "    return inner\n"
                 "lock = threading.Lock()\n"
                 "lock.acquire()\n"
                 "Mine.answer = lambda self, environ, inner=closure(2): inner()\n"
                 "secret.append(7)\n")
    assert answer(start(site)) == [1, 7, 2, True]


def test_what_follows_run_is_done_once_when_the_arbiter_ends(site):
    write_script(site, settings="self.cfg.set('workers', 3)")
    arbiter = start(site)
    script = script_process(arbiter)
    assert arbiter.stop() == 0
    site.assert_nothing_left()
    assert [entry["pid"] for entry in told(site, "finally")] == [script]
    assert [entry["pid"] for entry in told(site, "atexit")] == [script]


def test_children_from_before_run_are_reaped(site):
    write_script(site, before_run="import subprocess\n"
                 "child = subprocess.Popen(['/bin/sleep', '1000'])\n"
                 "tell('child', child=child.pid)\n")
    arbiter = start(site)
    child = told(site, "child")[0]["child"]
    assert process_alive(child)
    os.kill(child, signal.SIGKILL)
    wait_until(lambda: not pathlib.Path(f"/proc/{child}").exists(), "the child to be reaped")
    assert arbiter.stop() == 0


def test_worker_exit_sees_the_very_application(site):
    write_script(site, settings="self.cfg.set('worker_exit', leave)\n"
                 "self.cfg.set('proc_name', 'shop')",
                 before_load="self.mark = [os.getpid()]",
                 before_run="def leave(arbiter, worker):\n"
                 "    worker.log.warning('leaving %s', worker.age)\n"
                 "    tell('leave', mark=worker.app.mark, mine=type(worker.app) is Mine,\n"
                 "         worker=worker.pid, age=worker.age, name=worker.cfg.proc_name,\n"
                 "         same=worker.cfg is worker.app.cfg, arbiter=arbiter.pid)\n")
    arbiter = start(site)
    worker = arbiter.workers()[0]
    arbiter.stop()
    leave, = told(site, "leave")
    assert leave == {"word": "leave", "pid": worker, "mark": [worker], "mine": True,
                     "worker": worker, "age": 1, "name": "shop", "same": True,
                     "arbiter": arbiter.pid}
    assert "[WARNING] leaving 1" in arbiter.log()


def test_load_is_called_in_each_worker(site):
    write_script(site, settings="self.cfg.set('workers', 2)", before_load="tell('load')")
    arbiter = start(site)
    assert sorted(entry["pid"] for entry in told(site, "load")) == sorted(arbiter.workers())


def test_with_preload_load_is_called_once_for_all(site):
    write_script(site, settings="self.cfg.set('workers', 3); self.cfg.set('preload_app', True)",
                 before_load="tell('load')")
    arbiter = start(site)
    load, = told(site, "load")
    assert load["pid"] not in arbiter.workers()
    result = answer(arbiter)
    assert result["loaded_in"] == load["pid"] and result["pid"] in arbiter.workers()


def test_a_reload_asks_the_script_for_its_settings_again(site):
    site.write("workers.txt", "1")
    write_script(site, settings="self.cfg.set('workers', int(open('workers.txt').read()))",
                 before_load="tell('load')")
    arbiter = start(site)
    old = arbiter.workers()
    site.write("workers.txt", "3")
    result = arbiter.cornctl("reload")
    assert result.returncode == 0, result
    status = arbiter.wait_ready(3)
    assert status["pools"][0]["generation"] != "1"
    assert not set(old) & set(arbiter.workers())
    assert len(told(site, "load")) == 4


def test_a_reload_that_cannot_load_leaves_the_old_workers_serving(site):
    write_script(site, before_load="if os.path.exists('broken'): raise RuntimeError('no stock')")
    arbiter = start(site)
    before = arbiter.workers()
    site.write("broken", "")
    result = arbiter.cornctl("reload")
    assert result.returncode == 1 and "RuntimeError: no stock" in result.stdout + result.stderr
    assert answer(arbiter)["pid"] in before == arbiter.workers()


def test_workers_that_die_are_forked_again_from_the_script(site):
    write_script(site)
    arbiter = start(site)
    for _ in range(3):
        worker, = arbiter.workers()
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: arbiter.settled() and arbiter.workers() != [worker], "another worker")
    assert answer(arbiter)["pid"] == arbiter.workers()[0]


# ---- what goes wrong ----


def test_an_application_that_cannot_be_loaded_ends_the_script_with_status_4(site):
    write_script(site, before_load="raise RuntimeError('no stock')")
    result = run_to_its_end(site)
    assert result.returncode == 4
    assert "RuntimeError: no stock" in result.stderr and "script.py" in result.stderr
    site.assert_nothing_left()
    assert len(told(site, "finally")) == len(told(site, "atexit")) == 1


def test_a_value_that_arbiterd_refuses_names_the_line_of_the_script(site):
    path = write_script(site, settings="self.cfg.set('bind', 'nowhere:at:all')")
    line = path.read_text(encoding="utf-8").splitlines().index(
        "        self.cfg.set('bind', 'nowhere:at:all')") + 1
    result = run_to_its_end(site)
    assert result.returncode == 2
    assert f"script.py:{line}: bind = " in result.stderr
    assert len(told(site, "finally")) == 1


def test_a_setting_that_is_not_implemented_is_refused_by_name(site):
    write_script(site, settings="self.cfg.set('paste', 'shop.ini')")
    result = run_to_its_end(site)
    assert result.returncode == 2 and "paste" in result.stderr


def test_the_script_ends_when_its_arbiter_is_killed_and_workers_are_adopted(site):
    write_script(site, settings="self.cfg.set('proc_name', 'shop')")
    first = start(site)
    script, workers, port = script_process(first), first.workers(), first.port
    first.kill()
    wait_until(lambda: not process_alive(script), "the script to end")
    assert [entry["pid"] for entry in told(site, "finally")] == [script]
    assert json.loads(get(port).body)["pid"] == workers[0]
    second = start(site)
    assert second.workers() == workers and second.port == port
    assert json.loads(get(port).body)["pid"] == workers[0]
    assert second.cornctl("reload").returncode == 0
    assert not set(workers) & set(second.workers())
    assert second.stop() == 0
    site.assert_nothing_left()


# ---- more ways to start ----


def test_an_upgrade_in_place_keeps_the_script(site):
    write_script(site, before_run="tell('start')")
    arbiter = start(site)
    script, old = script_process(arbiter), arbiter.workers()
    result = arbiter.cornctl("upgrade")
    assert result.returncode == 0, result
    wait_until(lambda: arbiter.settled() and not set(old) & set(arbiter.workers()), "new workers")
    assert script_process(arbiter) == script and len(told(site, "start")) == 1
    assert answer(arbiter)["pid"] in arbiter.workers()
    assert arbiter.stop() == 0
    site.assert_nothing_left()
    assert [entry["pid"] for entry in told(site, "finally")] == [script]


def test_a_daemon_serves_after_the_script_has_returned(site):
    write_script(site, settings="self.cfg.set('daemon', True)\n"
                 "self.cfg.set('pidfile', 'pid')\nself.cfg.set('errorlog', 'log')")
    result = run_to_its_end(site)
    assert result.returncode == 0, result
    wait_until(lambda: site.cornctl("--json", "status").returncode == 0, "the daemon to answer")
    pid = int((site.app / "pid").read_text(encoding="ascii"))
    assert os.getsid(pid) not in (pid, os.getsid(0))
    os.kill(pid, signal.SIGTERM)
    site.assert_nothing_left()
    assert len(told(site, "finally")) == 1


def test_check_config_of_a_script_that_reads_its_command_line(site):
    site.write("script.py", """
from corn.app.wsgiapp import WSGIApplication
WSGIApplication("%(prog)s [OPTIONS] [APP]").run()
""")
    assert run_to_its_end(site, "--check-config", "wsgi_test:application").returncode == 0
    result = run_to_its_end(site, "--check-config", "wsgi_test:nothing")
    assert result.returncode == 1 and "nothing" in result.stderr
    result = run_to_its_end(site, "--print-config", "-w", "7", "wsgi_test:application")
    assert re.search(r"^workers = 7", result.stdout, re.MULTILINE), result
    site.assert_nothing_left()


def test_a_wsgi_application_of_ones_own_serves_what_the_command_line_names(site):
    site.write("script.py", """
from corn.app.wsgiapp import WSGIApplication
class Mine(WSGIApplication):
    def load_config(self):
        super().load_config()
        self.cfg.set("workers", self.cfg.threads)
Mine().run()
""")
    arbiter = start(site, "--threads", "2", "-b", "127.0.0.1:0", "wsgi_test:application")
    assert len(arbiter.workers()) == 2 and get(arbiter.port).body == b"Hello World"


def test_a_script_in_a_bundle_uses_the_engine_of_the_installation(site):
    source = site.root / "bundle"
    source.mkdir()
    subprocess.run(["cp", "-r", PACKAGES / "corn", source], check=True)
    for engine in (source / "corn").glob("_engine*"):
        engine.unlink()
    text = write_script(site).read_text(encoding="utf-8")
    (source / "__main__.py").write_text(text, encoding="utf-8")
    subprocess.run([PYTHON, "-m", "zipapp", source, "-o", site.app / "script.pyz"], check=True)
    arbiter = start(site, "script.pyz", script=None,
                    environment={"PYTHONPATH": "", "PATH": f"{BIN}:{os.environ['PATH']}"})
    assert answer(arbiter)["pid"] == arbiter.workers()[0]
