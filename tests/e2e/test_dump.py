# SPDX-License-Identifier: Apache-2.0
"""cornctl dump: what a worker is doing, whatever state it is in; and it serves on afterwards."""

import contextlib
import os
import signal
import subprocess
import threading

import pytest

from harness import SANITIZER, get, wait_until

# Requests wait until the test writes a file, so that each of them can be looked at and then ended.
APPLICATION = """
import ctypes, os, time
libc = ctypes.PyDLL(None)  # keeps the interpreter's lock during calls

def wait_for_release():
    while not os.path.exists("release"):
        time.sleep(0.01)

def hang_in_c():
    os.close(os.open("inside", os.O_CREAT | os.O_WRONLY))
    while not os.path.exists("release"):
        libc.sleep(4)

def application(environ, start_response):
    if environ["PATH_INFO"].startswith("/wait"):
        wait_for_release()
    if environ["PATH_INFO"] == "/c":
        hang_in_c()
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


class Requests:
    """Requests in flight, to be released and answered at the end."""

    def __init__(self, site, arbiter):
        self.site, self.port, self.threads, self.answers = site, arbiter.port, [], []

    def send(self, path):
        def run():
            self.answers.append(get(self.port, path).status)
        self.threads.append(threading.Thread(target=run))
        self.threads[-1].start()

    def release(self):
        self.site.write("release", "")
        for thread in self.threads:
            thread.join()


@contextlib.contextmanager
def requests(site, arbiter):
    """Every request that was sent is answered, nobody has ended, and the worker serves on."""
    sent = Requests(site, arbiter)
    try:
        yield sent
    finally:
        sent.release()
    assert sent.answers == [200] * len(sent.threads)
    assert get(arbiter.port).status == 200
    assert arbiter.exits() == []


def in_flight(arbiter, count):
    def check():
        workers = arbiter.status()["pools"][0]["workers"]
        return sum(len(worker["activeRequests"]) for worker in workers) == count
    wait_until(check, f"{count} requests in flight")


def threads_in(dump, target):
    return [thread for thread in dump["threads"]
            if (thread.get("request") or {}).get("target") == target]


def test_an_idle_worker_shows_its_threads_and_its_last_request(site):
    site.write("app.py", APPLICATION)
    arbiter = site.start("app:application")
    assert get(arbiter.port, "/last?x=1").status == 200
    pid = arbiter.workers()[0]
    with requests(site, arbiter):
        dump = arbiter.json("dump", pid)
        assert dump["pid"] == pid and dump["text"] == "", dump
        assert all(thread["state"] in "RS" for thread in dump["threads"]), dump
        assert "corn-link" in [thread["name"] for thread in dump["threads"]], dump
        # Who waits for connections does so in epoll_wait, who waits for orders in poll.
        for name, function in (("workerd", "epoll_wait"), ("corn-link", "poll")):
            # A sanitizer's own thread has the name of the first.
            stack = [t["nativeStack"] for t in dump["threads"] if t["name"] == name][0]
            assert f"{function}+0x" in stack and "(libc.so.6)" in stack, dump
            assert "corn::" in stack, dump  # the walk goes on into our own code
        last = [thread["lastRequest"]["target"] for thread in dump["threads"]
                if thread.get("lastRequest")]
        assert last == ["/last?x=1"], dump
        assert f"thread {pid} " in arbiter.cornctl("dump", pid).stdout


def test_an_unknown_pid_is_refused_in_a_sentence(site):
    arbiter = site.start("wsgi_test:application")
    result = arbiter.cornctl("dump", os.getpid())
    assert result.returncode == 1 and "no worker of this arbiter" in result.stderr, result


def test_a_request_that_sleeps_shows_its_function(site):
    site.write("app.py", APPLICATION)
    arbiter = site.start("app:application")
    with requests(site, arbiter) as sent:
        sent.send("/wait?id=7")
        in_flight(arbiter, 1)
        dump = arbiter.json("dump", arbiter.workers()[0])
        thread, = threads_in(dump, "/wait?id=7")
        assert "in wait_for_release" in thread["pythonStack"], dump
        assert thread["request"]["method"] == "GET" and dump["text"] == "", dump


def test_each_thread_shows_its_own_request(site):
    site.write("app.py", APPLICATION)
    arbiter = site.start("app:application", "--threads", "3")
    with requests(site, arbiter) as sent:
        sent.send("/wait?id=1")
        sent.send("/wait?id=2")
        in_flight(arbiter, 2)
        dump = arbiter.json("dump", arbiter.workers()[0])
        shown = [threads_in(dump, f"/wait?id={i}") for i in (1, 2)]
        assert [len(threads) for threads in shown] == [1, 1], dump
        assert shown[0][0]["threadId"] != shown[1][0]["threadId"], dump
        assert all("in wait_for_release" in threads[0]["pythonStack"] for threads in shown), dump


def test_c_code_that_keeps_the_interpreters_lock_is_seen_through(site):
    site.write("app.py", APPLICATION)
    arbiter = site.start("app:application", "--timeout", "0", "--threads", "2")
    with requests(site, arbiter) as sent:
        sent.send("/c")
        wait_until((site.app / "inside").exists, "the request to be in C code")
        pid = arbiter.workers()[0]
        for _ in range(2):
            dump = arbiter.json("dump", pid)
            thread, = threads_in(dump, "/c")
            assert "in hang_in_c" in thread["pythonStack"], dump
            assert thread["state"] == "S" and dump["text"] == "", dump
            # From the C function through the interpreter to the engine that called it.
            stack = thread["nativeStack"]
            sleep, evaluate = stack.find("sleep+0x"), stack.find("_PyEval_EvalFrameDefault+0x")
            assert -1 < sleep < evaluate < stack.find("corn::"), stack


def test_a_stopped_worker_is_said_to_be_stopped_with_its_request(site):
    site.write("app.py", APPLICATION)
    arbiter = site.start("app:application", "--timeout", "0")
    assert get(arbiter.port, "/last").status == 200
    pid = arbiter.workers()[0]
    with requests(site, arbiter) as sent:
        sent.send("/wait")
        in_flight(arbiter, 1)
        os.kill(pid, signal.SIGSTOP)
        try:
            def stopped():
                dump = arbiter.json("dump", pid)
                return dump if "stopped (T)" in dump["text"] else None
            dump = wait_until(stopped, "the worker to be stopped")
            assert f"kill -CONT {pid}" in dump["text"], dump
            thread, = threads_in(dump, "/wait")
            assert thread["state"] == "T" and thread["pythonStack"] == "", dump
            assert "_PyEval_EvalFrameDefault+0x" in thread["nativeStack"], dump
            # It was looked at, and is as stopped as before.
            states = {t["state"] for t in arbiter.json("dump", pid)["threads"]}
            assert states == {"T"}, states
        finally:
            os.kill(pid, signal.SIGCONT)
        thread, = threads_in(arbiter.json("dump", pid), "/wait")
        assert "in wait_for_release" in thread["pythonStack"]


@pytest.mark.skipif("thread" in SANITIZER, reason="ThreadSanitizer makes a fork(2) of vfork(2)")
def test_a_thread_in_uninterruptible_sleep_is_said_to_be_with_its_wait_channel(site):
    # A thread sleeps so until what it has vforked ends.
    site.write("sleep.cc", """
#include <unistd.h>
extern "C" void sleep_in_the_kernel() {
  if (vfork() == 0) {
    while (access("release", F_OK) != 0) usleep(10000);
    _exit(0);
  }
}
""")
    subprocess.run(["c++", "-shared", "-fPIC", "-o", "sleep.so", "sleep.cc"], cwd=site.app, check=True)
    site.write("app.py", """
import ctypes, os
library = ctypes.CDLL(os.path.abspath("sleep.so"))
def application(environ, start_response):
    if environ["PATH_INFO"] == "/disk":
        library.sleep_in_the_kernel()
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
""")
    arbiter = site.start("app:application", "--timeout", "0")
    assert get(arbiter.port, "/last").status == 200
    pid = arbiter.workers()[0]
    with requests(site, arbiter) as sent:
        sent.send("/disk")
        def asleep():
            dump = arbiter.json("dump", pid)
            return dump if "uninterruptible sleep (D)" in dump["text"] else None
        dump = wait_until(asleep, "a thread in uninterruptible sleep")
        thread, = threads_in(dump, "/disk")
        assert thread["state"] == "D", dump
        assert not thread["waitChannel"] or f"(D) in {thread['waitChannel']}" in dump["text"], dump
        assert "in application" in thread["pythonStack"], dump
        assert "does not stop" in thread["nativeStack"], dump
        link, = [t for t in dump["threads"] if t["name"] == "corn-link"]
        assert "poll" in link["nativeStack"], dump


def test_a_worker_that_is_still_importing_shows_where(site):
    site.write("slow.py", """
import os, time
def wait_for_release():
    while not os.path.exists("release"):
        time.sleep(0.01)
wait_for_release()
from wsgi_test import application
""")
    arbiter = site.start("slow:application", ready=False)
    wait_until(arbiter.try_status, "the arbiter to answer")
    pid, = wait_until(lambda: arbiter.workers(("BOOTING",)), "a worker that boots")
    def importing():
        dump = arbiter.json("dump", pid)
        return dump if any("in wait_for_release" in t["pythonStack"] for t in dump["threads"]) else None
    dump = wait_until(importing, "the import's stack")
    assert "still loading its application" in dump["text"], dump
    main, = [thread for thread in dump["threads"] if thread["threadId"] == pid]
    assert "PyImport_ImportModule" in main["nativeStack"], dump
    site.write("release", "")
    arbiter.wait_ready()
    assert get(arbiter.port).status == 200 and arbiter.exits() == []
