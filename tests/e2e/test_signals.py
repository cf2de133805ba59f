# SPDX-License-Identifier: Apache-2.0
"""Signals to the arbiter, and to workers directly."""

import os
import signal
import threading

from harness import SANITIZER, get, process_alive, wait_until

SLOW = """
import time
def application(environ, start_response):
    time.sleep(float(environ["QUERY_STRING"] or 0))
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


def slow_request(port, seconds):
    """A request in flight; join the thread to get its fate."""
    answers = []

    def ask():
        try:
            answers.append(get(port, f"/?{seconds}").body)
        except (OSError, Exception) as error:  # pylint: disable=broad-except
            answers.append(error)
    thread = threading.Thread(target=ask)
    thread.start()
    return thread, answers


def start_with_request_inside(site, *options, seconds):
    site.write("slow.py", SLOW)
    arbiter = site.start("-w", "2", *options, "slow:application")
    thread, answers = slow_request(arbiter.port, seconds)
    wait_until(lambda: arbiter.workers(("BUSY",)), "the request to be inside")
    return arbiter, thread, answers


def test_term_lets_a_request_in_flight_finish(site):
    arbiter, thread, answers = start_with_request_inside(site, seconds=2)
    assert arbiter.stop(signal.SIGTERM) == 0
    thread.join()
    assert answers == [b"ok"]
    site.assert_nothing_left()


def test_term_cuts_a_request_off_after_graceful_timeout(site):
    arbiter, thread, answers = start_with_request_inside(site, "--graceful-timeout", "1", seconds=3600)
    assert arbiter.stop(signal.SIGTERM) == 0
    thread.join()
    assert answers and answers != [b"ok"]
    site.assert_nothing_left()


def test_quit_and_int_do_not_wait(site):
    for number in (signal.SIGQUIT, signal.SIGINT):
        arbiter, thread, answers = start_with_request_inside(site, seconds=3600)
        assert arbiter.stop(number) == 0
        thread.join()
        assert answers and answers != [b"ok"]
        site.assert_nothing_left()


def test_quit_during_a_graceful_shutdown_ends_it_at_once(site):
    arbiter, thread, _ = start_with_request_inside(site, "--graceful-timeout", "3600", seconds=3600)
    arbiter.send(signal.SIGTERM)
    wait_until(lambda: "STOPPING" in (arbiter.cornctl("--json", "status").stdout or "STOPPING"),
               "the shutdown to begin")
    assert arbiter.stop(signal.SIGQUIT) == 0
    thread.join()
    site.assert_nothing_left()


def test_usr1_opens_the_log_files_anew(site):
    error_log, access_log = site.root / "error.log", site.root / "access.log"
    arbiter = site.start("-w", "2", "--error-logfile", error_log, "--access-logfile", access_log,
                         "wsgi_test:application", ready=False)
    wait_until(lambda: error_log.exists() and "Listening at" in error_log.read_text(), "the log")
    arbiter.wait_ready(2)
    port = int(arbiter.status()["pools"][0]["listeners"][0]["address"].rpartition(":")[2])
    get(port, "/before")
    wait_until(lambda: "/before" in access_log.read_text(), "the request in the access log")
    error_log.rename(site.root / "error.log.1")
    access_log.rename(site.root / "access.log.1")
    arbiter.send(signal.SIGUSR1)
    wait_until(lambda: error_log.exists() and access_log.exists(), "new files")

    def all_moved():
        """Neither arbiter nor workers hold the old files any more."""
        held = [os.readlink(f"/proc/{pid}/fd/{fd}") for pid in site.processes()
                for fd in os.listdir(f"/proc/{pid}/fd")]
        return not [name for name in held if name.endswith(".log.1")]
    wait_until(all_moved, "every process to let go of the old files")
    for _ in range(10):
        get(port, "/after")
    wait_until(lambda: access_log.read_text().count("/after") == 10, "ten requests in the new file")
    assert "/after" not in (site.root / "access.log.1").read_text()
    assert arbiter.workers() and arbiter.exits() == []


def test_winch_stops_workers_and_keeps_the_sockets(site):
    arbiter = site.start("-w", "2", "wsgi_test:application")
    port = arbiter.port
    arbiter.send(signal.SIGWINCH)
    wait_until(lambda: not arbiter.all_workers(), "the workers to stop")
    thread, answers = slow_request(port, 0)
    assert arbiter.status()["arbiter"]["state"] == "DORMANT"
    arbiter.send(signal.SIGHUP)
    thread.join()
    assert answers == [b"Hello World"], "the connection waited in the backlog"
    arbiter.wait_ready(2)


def test_winch_from_a_terminal_is_ignored(site):
    controller, terminal = os.openpty()
    try:
        arbiter = site.start("wsgi_test:application", stdin=terminal, start_new_session=True)
        before = arbiter.workers()
        arbiter.send(signal.SIGWINCH)
        # A signal that has an effect, sent afterwards, shows that this one has been dealt with.
        arbiter.send(signal.SIGTTIN)
        arbiter.wait_ready(2)
        assert before[0] in arbiter.workers()
    finally:
        os.close(controller)
        os.close(terminal)


def test_ctrl_c_in_a_terminal_reaches_the_arbiter_alone(site):
    arbiter = site.start("-w", "2", "wsgi_test:application", start_new_session=True)
    os.killpg(os.getpgid(arbiter.pid), signal.SIGINT)
    assert arbiter.wait_exit() == 0
    site.assert_nothing_left()


def test_a_worker_obeys_term_by_finishing_and_is_replaced(site):
    arbiter, thread, answers = start_with_request_inside(site, seconds=8 if SANITIZER else 1)
    busy = arbiter.workers(("BUSY",))[0]
    os.kill(busy, signal.SIGTERM)
    thread.join()
    assert answers == [b"ok"]
    wait_until(lambda: not process_alive(busy), "the worker to exit")
    arbiter.wait_ready(2)
    assert [end["cause"] for end in arbiter.exits()] == ["exited"]


def test_a_worker_obeys_abrt_by_dumping_its_stacks(site):
    site.write("slow.py", SLOW)
    arbiter, thread, _ = start_with_request_inside(site, seconds=3600)
    busy = arbiter.workers(("BUSY",))[0]
    os.kill(busy, signal.SIGABRT)
    thread.join()
    end = wait_until(arbiter.exits, "the worker's end")[0]
    assert end["pid"] == busy and end["cause"] == "crashed(ABRT)"
    assert "slow.py" in arbiter.log() and "in application" in arbiter.log()
    arbiter.wait_ready(2)


def test_signals_in_any_order_end_where_the_last_one_asks(site):
    arbiter = site.start("-w", "2", "wsgi_test:application")
    for number in (signal.SIGTTIN, signal.SIGHUP, signal.SIGUSR1, signal.SIGTTOU, signal.SIGUSR2,
                   signal.SIGHUP, signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU):
        arbiter.send(number)
    wait_until(lambda: arbiter.settled(), "calm")
    assert get(arbiter.port).status == 200
    for number in (signal.SIGHUP, signal.SIGTTIN, signal.SIGTERM, signal.SIGHUP):
        try:
            arbiter.send(number)
        except ProcessLookupError:
            break
    assert arbiter.wait_exit() == 0
    site.assert_nothing_left()
