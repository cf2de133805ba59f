# SPDX-License-Identifier: Apache-2.0
"""Preloading: one process loads the application, workers are forked from it."""

import os
import pathlib
import re
import signal

import pytest

from harness import SANITIZER, get, needs, process_alive, process_title, wait_until

# Says which process imported it, and which one answers.
IMPORTED_BY = """
import os
IMPORTED_BY = os.getpid()
WARM = []
def application(environ, start_response):
    if environ["PATH_INFO"] == "/warm":
        WARM.append(os.getpid())
    body = f"{number} {{IMPORTED_BY}} {{os.getpid()}} {{len(WARM)}}".encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""

# As agents for metrics and traces have, threads that allocate memory all the time, without Python's lock.
BUSY_THREADS = """
import sqlite3, threading
QUERY = ("WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 20000) "
         "SELECT count(DISTINCT printf('%0400d', n)) FROM numbers")
def count():
    database = sqlite3.connect(":memory:")
    while True:
        database.execute(QUERY).fetchone()
for _ in range(2):
    threading.Thread(target=count, daemon=True).start()
def application(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


def answer(arbiter, path="/"):
    """(version, who imported the application, who answers, how often it was warmed up)."""
    return tuple(map(int, get(arbiter.port, path).body.split()))


def templates(site, arbiter):
    """Pids of arbiterd's children that are no workers."""
    return [pid for pid in site.processes() if pid != arbiter.pid
            and pid not in arbiter.all_workers() and parent(pid) == arbiter.pid]


def parent(pid):
    stat = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    return int(stat.rpartition(")")[2].split()[1])


def pss(pids):
    total = 0
    for pid in pids:
        text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8")
        total += int(re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE).group(1)) * 1024
    return total


def test_application_is_imported_once_and_workers_are_arbiterds_children(site):
    site.write("code.py", IMPORTED_BY.format(number=1))
    arbiter = site.start("-w", "3", "--preload", "code:application")
    workers = arbiter.workers()
    assert [parent(pid) for pid in workers] == [arbiter.pid] * 3
    (template,) = templates(site, arbiter)
    seen = {answer(arbiter)[1] for _ in range(10)}
    assert seen == {template}
    assert process_title(workers[0]) == "corn: worker [code:application]"
    assert arbiter.stop() == 0
    site.assert_nothing_left()


def test_reload_takes_new_code_by_a_new_template(site):
    site.write("code.py", IMPORTED_BY.format(number=1))
    arbiter = site.start("-w", "2", "--preload", "code:application")
    (old,) = templates(site, arbiter)
    site.write("code.py", IMPORTED_BY.format(number=2))
    assert arbiter.cornctl("reload").returncode == 0
    assert {answer(arbiter)[0] for _ in range(6)} == {2}
    wait_until(lambda: not process_alive(old), "the old template to leave")


def test_code_that_cannot_be_imported_is_rolled_back_and_the_old_template_goes_on(site):
    site.write("code.py", IMPORTED_BY.format(number=1))
    arbiter = site.start("-w", "2", "--preload", "code:application")
    old, (template,) = arbiter.workers(), templates(site, arbiter)
    site.write("code.py", "import a_module_that_does_not_exist\n")
    result = arbiter.cornctl("reload")
    assert result.returncode == 1
    assert "No module named 'a_module_that_does_not_exist'" in result.stdout + result.stderr
    assert arbiter.wait_ready() and arbiter.workers() == old
    os.kill(old[0], signal.SIGKILL)
    wait_until(lambda: old[0] not in arbiter.workers() and len(arbiter.workers()) == 2,
               "the replacement")
    assert {answer(arbiter)[:2] for _ in range(6)} == {(1, template)}


def test_application_that_cannot_be_loaded_ends_the_start(site):
    site.write("code.py", "import a_module_that_does_not_exist\n")
    arbiter = site.start("-w", "2", "--preload", "code:application", ready=False)
    assert arbiter.wait_exit() == 4
    assert "No module named 'a_module_that_does_not_exist'" in arbiter.log()
    site.assert_nothing_left()


def test_killed_template_and_killed_workers_come_back(site):
    site.write("code.py", IMPORTED_BY.format(number=1))
    arbiter = site.start("-w", "2", "--preload", "code:application")
    (template,) = templates(site, arbiter)
    os.kill(template, signal.SIGKILL)
    wait_until(lambda: not process_alive(template), "the template's end")
    assert answer(arbiter)[1] == template
    for pid in arbiter.workers():
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: arbiter.settled() and answer(arbiter)[1] != template, "new workers")
    assert len(templates(site, arbiter)) == 1
    assert arbiter.stop() == 0
    site.assert_nothing_left()


def test_workers_boot_whatever_locks_threads_of_the_template_hold(site):
    site.write("code.py", BUSY_THREADS)
    # All threads of a process allocate behind one lock.
    arbiter = site.start("-w", "1", "--preload", "--boot-timeout", "30", "code:application",
                         environment={"MALLOC_ARENA_MAX": "1"})
    threads = 3 if SANITIZER == "thread" else 2  # ThreadSanitizer runs one of its own
    arbiter.wait_for_log(rf"{threads} thread\(s\) run in the template process")
    assert arbiter.cornctl("scale", "+40").returncode == 0
    assert len(arbiter.workers()) == 41
    assert [parent(pid) for pid in arbiter.workers()] == [arbiter.pid] * 41
    assert get(arbiter.port).body == b"ok"
    assert arbiter.stop() == 0
    assert "boot_timeout" not in arbiter.log()
    site.assert_nothing_left()


def test_warm_up_is_shared_by_all_workers(site):
    site.write("code.py", IMPORTED_BY.format(number=1))
    arbiter = site.start("-w", "2", "--preload", "--preload-warm-up", "/warm",
                         "--preload-warm-up", "/warm", "code:application")
    assert {answer(arbiter)[3] for _ in range(6)} == {2}


def test_killed_arbiter_leaves_no_template_and_workers_are_adopted(site):
    site.write("code.py", IMPORTED_BY.format(number=1))
    arbiter = site.start("-w", "2", "--preload", "code:application")
    workers, (template,) = arbiter.workers(), templates(site, arbiter)
    arbiter.kill()
    wait_until(lambda: not process_alive(template), "the orphaned template's end")
    second = site.start("-w", "2", "--preload", "code:application")
    assert second.workers() == workers
    assert second.cornctl("reload").returncode == 0
    assert answer(second)[1] != template
    assert second.stop() == 0
    site.assert_nothing_left()


def test_pools_of_a_toml_file_are_preloaded_each_for_itself(site):
    site.write("code.py", IMPORTED_BY.format(number=1))
    site.write("other.py", IMPORTED_BY.format(number=2))
    site.write("corn.toml", """
[pool.one]
wsgi_app = "code:application"
bind = "127.0.0.1:0"
preload_app = true
[pool.two]
wsgi_app = "other:application"
bind = "127.0.0.1:0"
workers = 2
""")
    arbiter = site.start(bind=None)
    assert len(templates(site, arbiter)) == 1
    assert arbiter.stop() == 0
    site.assert_nothing_left()


def test_workers_of_a_preloaded_framework_take_a_third_of_the_memory(site):
    needs("python3:flask")
    site.write("shop.py", """
import flask
application = flask.Flask(__name__)
@application.route("/")
def index():
    return "Hello World"
""")
    sizes = []
    for options in ((), ("--preload", "--preload-warm-up", "/")):
        arbiter = site.start("-w", "8", *options, "shop:application")
        for _ in range(32):
            assert get(arbiter.port).body == b"Hello World"
        sizes.append(pss(arbiter.workers() + templates(site, arbiter)))
        assert arbiter.stop() == 0
    separate, preloaded = sizes
    assert preloaded <= 0.3 * separate, f"{preloaded / separate:.2f} of {separate} bytes"


def test_memory_limit_counts_what_is_a_workers_own(site):
    site.write("big.py", """
import os
BALLAST = b"x" * (96 * 1024 * 1024)
OWN = []
def application(environ, start_response):
    if environ["PATH_INFO"] == "/grow":
        OWN.append(b"y" * (96 * 1024 * 1024))
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
""")
    arbiter = site.start("-w", "4", "--preload", "--max-memory", "80M", "--timeout", "1",
                         "big:application")
    workers = arbiter.workers()
    grown = int(get(arbiter.port, "/grow").body)
    wait_until(lambda: grown not in arbiter.all_workers(), "the grown worker to be recycled")
    (end,) = arbiter.exits()
    assert (end["pid"], end["cause"]) == (grown, "max-memory"), end
    assert set(workers) - {grown} <= set(arbiter.workers())


ASGI_IMPORTED_BY = """
import os
IMPORTED_BY = os.getpid()
async def application(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body",
                "body": f"{number} {{IMPORTED_BY}} {{os.getpid()}} 0".encode()}})
"""


@pytest.mark.parametrize("worker_class, source", [
    ("asgi", ASGI_IMPORTED_BY),
    pytest.param("gevent", IMPORTED_BY, marks=pytest.mark.skipif(
        "address" in SANITIZER, reason="greenlets move stacks, which AddressSanitizer doesn't know")),
], ids=["asgi", "gevent"])
def test_classes_with_a_loop_of_their_own_are_forked_and_reloaded_too(site, worker_class, source):
    if worker_class == "gevent":
        needs("python3:gevent")
    site.write("code.py", source.format(number=1))
    arbiter = site.start("-w", "2", "-k", worker_class, "--preload", "code:application")
    (template,) = templates(site, arbiter)
    version, imported_by, answered_by, _ = answer(arbiter)
    assert (version, imported_by) == (1, template) and answered_by in arbiter.workers()
    site.write("code.py", source.format(number=22))
    assert arbiter.cornctl("reload").returncode == 0
    assert answer(arbiter)[0] == 22
    assert arbiter.stop() == 0
    site.assert_nothing_left()


def test_saved_file_reloads_a_preloaded_application(site):
    site.write("code.py", IMPORTED_BY.format(number=1))
    arbiter = site.start("-w", "2", "--preload", "--reload", "code:application")
    assert answer(arbiter)[0] == 1
    site.write("code.py", IMPORTED_BY.format(number=22))
    wait_until(lambda: answer(arbiter)[0] == 22, "the new code to serve")
    assert arbiter.stop() == 0


# Loads for ever once there is a file "hang".
HANGS = "import os, pathlib, time\nif os.path.exists('hang'):\n    pathlib.Path('inside').touch()\n" \
        "    time.sleep(3600)\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["term", "int"])
@pytest.mark.parametrize("reload", [False, True], ids=["start", "reload"])
def test_template_that_still_loads_ends_with_the_shutdown(site, number, reload):
    site.write("code.py", HANGS + IMPORTED_BY.format(number=1))
    if not reload:
        (site.app / "hang").touch()
    arbiter = site.start("-w", "2", "--preload", "code:application", ready=reload)
    if reload:
        (site.app / "hang").touch()
        arbiter.send(signal.SIGHUP)
    wait_until((site.app / "inside").exists, "the template to load")
    assert arbiter.stop(number) == 0
    assert "[ERROR]" not in arbiter.log()
    site.assert_nothing_left()
