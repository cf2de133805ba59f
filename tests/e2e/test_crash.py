# SPDX-License-Identifier: Apache-2.0
"""Workers that die: replaced at once, whatever else goes on, and nobody else notices."""

import itertools
import json
import os
import pathlib
import signal
import statistics
import threading
import time

import pytest

from harness import ECHO_QUERY, SANITIZER, get, wait_until
from load import KeepAliveClient, Load, RequestFailed

MEMORY_GROUPS = pathlib.Path("/sys/fs/cgroup/memory")

SLOW = """
import time
def application(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        time.sleep(float(environ["QUERY_STRING"]))
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


def answered_by(port):
    """Asks once and returns the worker that answered; None where there was none."""
    client = KeepAliveClient(("127.0.0.1", port))
    try:
        return int(client.request("/")[1]["x-pid"])
    except RequestFailed:
        return None
    finally:
        client.close()


def answered_by_nobody(port, path):
    client = KeepAliveClient(("127.0.0.1", port))
    try:
        with pytest.raises(RequestFailed):
            client.request(path)
    finally:
        client.close()


def test_a_killed_worker_is_replaced_fifteen_times(site):
    site.write("echo.py", ECHO_QUERY)
    arbiter = site.start("-w", "1", "echo:application")
    port = arbiter.port
    gaps = []
    for _ in range(15):
        victim = answered_by(port)
        killed = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda old=victim: answered_by(port) not in (None, old), "the replacement's answer")
        gaps.append(time.monotonic() - killed)
    print(f"kill -9 to the replacement's first answer: median {statistics.median(gaps) * 1000:.0f} ms")
    causes = [event["cause"] for event in arbiter.exits()]
    assert causes == ["crashed(KILL)"] * 15
    # A foreign SIGKILL is no fault of the application: no back-off, however often it comes.
    assert statistics.median(gaps) < (5.0 if SANITIZER else 1.0), gaps
    assert arbiter.status()["pools"][0]["state"] == "SERVING"


def test_a_request_cut_off_by_a_crash_is_counted_as_an_error(site):
    site.write("slow.py", SLOW)
    arbiter = site.start("-w", "1", "slow:application")
    worker, = arbiter.workers()
    client = threading.Thread(target=answered_by_nobody, args=(arbiter.port, "/slow?3600"))
    client.start()
    wait_until(lambda: arbiter.status()["pools"][0]["workers"][0].get("activeRequests"), "the request inside")
    os.kill(worker, signal.SIGKILL)
    client.join()
    wait_until(arbiter.exits, "the worker's end")
    pool = arbiter.status()["pools"][0]
    assert (pool["requestsTotal"], pool["errorsTotal"]) == ("1", "1"), pool


def test_other_connections_do_not_notice_a_crash(site):
    site.write("echo.py", ECHO_QUERY)
    arbiter = site.start("-w", "3", "echo:application")
    with Load(arbiter.port, connections=6) as load:
        for _ in range(15):
            victim = arbiter.workers()[0]
            load.wait_for(50)
            os.kill(victim, signal.SIGKILL)
            wait_until(lambda gone=victim: gone not in arbiter.all_workers(), "the victim to go")
            arbiter.wait_ready(3)
            load.wait_for(50)
    # Only connections that the killed worker held may have failed, each of them once.
    assert sum(load.failures.values()) <= 15 * 6, dict(load.failures)
    assert not [text for text in load.failures if "connecting" in text or "after 0" in text], \
        f"a new connection was refused or dropped: {dict(load.failures)}"


def test_supervision_stays_alive_while_a_reload_waits_for_a_long_request(site):
    site.write("slow.py", SLOW)
    arbiter = site.start("-w", "2", "--graceful-timeout", "60", "slow:application")
    port = arbiter.port
    answers = []
    client = threading.Thread(target=lambda: answers.append(get(port, "/slow?20").body))
    client.start()
    busy = wait_until(lambda: arbiter.workers(("BUSY",)), "the long request to be inside")[0]
    arbiter.send(signal.SIGHUP)
    wait_until(lambda: arbiter.workers(("DRAINING",)) == [busy], "the reload to wait for it")

    # A crash is repaired,
    victim = arbiter.workers()[0]
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: victim not in arbiter.all_workers() and len(arbiter.workers()) == 2,
               "the crashed worker to be replaced")
    # TTIN adds a worker,
    arbiter.send(signal.SIGTTIN)
    wait_until(lambda: len(arbiter.workers()) == 3, "the worker of TTIN")
    # cornctl scales and shows,
    assert arbiter.cornctl("scale", "--no-wait", "+1").returncode == 0
    wait_until(lambda: len(arbiter.workers()) == 4, "the worker of cornctl scale")
    assert get(port).body == b"ok"
    # all while the request is still inside,
    assert arbiter.workers(("DRAINING",)) == [busy] and not answers
    # and TERM lets it finish and ends.
    assert arbiter.stop() == 0
    client.join()
    assert answers == [b"ok"]
    site.assert_nothing_left()


def test_a_crashing_worker_is_recorded_with_its_signal(site):
    arbiter = site.start("-w", "1", "wsgi_test:application")
    get(arbiter.port, "/last?x=1")
    os.kill(arbiter.workers()[0], signal.SIGSEGV)
    end = wait_until(arbiter.exits, "the end in the history")[0]
    assert end["cause"] == "crashed(SEGV)" and end["exit"]["signal"] == "SEGV"
    assert end["request"] == "GET /last?x=1" and not end["inRequest"]
    assert 0 < end["exit"]["cpuSeconds"] < 60 and int(end["exit"]["maxRssBytes"]) > 1 << 20
    arbiter.wait_ready(1)


@pytest.mark.skipif(bool(SANITIZER), reason="sanitizers show crashes their own way")
@pytest.mark.parametrize("format", ["text", "json"])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("call,name,function", [
    ("ctypes.string_at(0)", "SEGV", "_PyEval_EvalFrameDefault"),
    ("os.abort()", "ABRT", "abort"),
    ("faulthandler._stack_overflow()", "SEGV", "_faulthandler"),
    ("faulthandler._sigfpe()", "FPE", "_PyEval_EvalFrameDefault")])
def test_a_crash_in_c_code_leaves_python_and_native_stack_in_the_log(
        site, call, name, function, threads, format):
    site.write("crashing.py", f"""
import ctypes, faulthandler, os
def application(environ, start_response):
    {call}
""")
    arbiter = site.start("--log-format", format, "--threads", threads, "crashing:application")
    with pytest.raises(OSError):
        get(arbiter.port)
    end = wait_until(arbiter.exits, "the end in the history")[0]
    assert end["cause"] == f"crashed({name})" and end["exit"]["signal"] == name
    assert end["request"] == "GET /" and end["inRequest"]
    assert "in GET /;" in arbiter.cornctl("events", "--whole").stdout
    log = arbiter.log()
    if format == "json":
        entry, = [json.loads(line) for line in log.splitlines() if "Native stack" in line]
        log = entry["message"]
    assert 'crashing.py", line 4 in application' in log
    native = log.partition("Native stack of thread ")[2].partition("\n")[2]
    frames = list(itertools.takewhile(lambda line: line.startswith("  "), native.split("\n")))
    # From the crash on: whoever has handled the signal is left out.
    assert not any("faulthandler_fatal_error" in frame or "workerd" in frame
                   for frame in frames[:2]), frames
    if function == "_faulthandler":  # its functions aren't exported
        assert len(frames) > 100 and "can't be" not in native, frames
    else:
        assert any(frame.startswith(f"  {function}+0x") for frame in frames), frames
        assert any(frame.startswith("  workerd+0x") for frame in frames), frames
    arbiter.wait_ready(1)
    assert arbiter.stop() == 0


def test_an_application_that_exits_is_recorded_and_replaced(site):
    site.write("quitter.py", "import os\ndef application(environ, start_response):\n    os._exit(7)\n")
    arbiter = site.start("-w", "2", "quitter:application")
    client = KeepAliveClient(("127.0.0.1", arbiter.port))
    try:
        client.request("/")
    except RequestFailed:
        pass
    client.close()
    end = wait_until(arbiter.exits, "the end in the history")[0]
    assert end["cause"] == "exited" and end["exit"]["code"] == 7
    arbiter.wait_ready(2)


def test_one_pool_serves_on_while_workers_of_another_cannot_boot(site):
    site.write("broken.py", "raise RuntimeError('no database')\n")
    site.write("corn.toml", """
[pool.good]
wsgi_app = "wsgi_test:application"
bind = "127.0.0.1:0"
[pool.bad]
wsgi_app = "broken:application"
bind = "127.0.0.1:0"
""")
    arbiter = site.start(bind=None, ready=False)
    def states():
        status = arbiter.try_status()
        return status and {pool["name"]: pool["state"] for pool in status["pools"]}
    wait_until(lambda: (states() or {}).get("good") == "SERVING", "the good pool to serve")
    wait_until(lambda: "RuntimeError: no database" in arbiter.log(), "the traceback in the log")
    good = next(pool for pool in arbiter.status()["pools"] if pool["name"] == "good")
    assert get(int(good["listeners"][0]["address"].rpartition(":")[2])).body == b"Hello World"
    assert arbiter.process.poll() is None
    assert arbiter.stop() == 0


def in_group(pid, parent):
    """Whether the process is in a memory control group of its own below `parent`."""
    groups = pathlib.Path(f"/proc/{pid}/cgroup").read_text(encoding="ascii")
    return f"/{parent.name}/corn-{pid}\n" in groups


@pytest.mark.skipif(not (MEMORY_GROUPS / "memory.oom_control").exists() or os.geteuid() != 0,
                    reason="needs root and the memory controller of control groups, version 1")
@pytest.mark.parametrize("cgroups, told", [("off", "inferred"), ("auto", "worker's own control group")])
def test_a_worker_that_the_kernel_kills_for_memory_is_told_from_a_foreign_kill(site, cgroups, told):
    site.write("eat.py", "from wsgi_test import application as hello\n"
               "def application(environ, start_response):\n"
               "    if environ['PATH_INFO'] == '/eat':\n        bytearray(400 << 20)\n"
               "    return hello(environ, start_response)\n")
    group = MEMORY_GROUPS / f"corn-test-{os.getpid()}"
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(256 << 20))
        arbiter = site.start("-w", "2", "--worker-cgroups", cgroups, "eat:application",
                             preexec_fn=lambda: (group / "cgroup.procs").write_text(str(os.getpid())))
        if cgroups == "auto":
            wait_until(lambda: all(in_group(pid, group) for pid in arbiter.workers()), "the groups")
        with pytest.raises(OSError):
            get(arbiter.port, "/eat")
        end = wait_until(arbiter.exits, "the worker's end")[0]
        assert end["cause"] == "out-of-memory" and told in end["text"]
        arbiter.wait_ready(2)
        os.kill(arbiter.workers()[0], signal.SIGKILL)
        wait_until(lambda: len(arbiter.exits()) == 2, "the second end")
        assert arbiter.exits()[1]["cause"] == "crashed(KILL)"
        assert arbiter.stop() == 0
    finally:
        site.close()
        group.rmdir()
