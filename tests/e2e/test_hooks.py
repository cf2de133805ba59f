# SPDX-License-Identifier: Apache-2.0
"""Server hooks of a configuration file, as gunicorn's users write them."""

import concurrent.futures
import os
import re
import signal
import socket

from harness import ECHO_QUERY, SANITIZER, get, needs, wait_until

EVERY_HOOK = """
import os
def on_starting(server): server.log.info("hook on_starting %s", os.getppid() == server.pid)
def on_reload(server): server.log.info("hook on_reload")
def when_ready(server): server.log.info("hook when_ready")
def pre_fork(server, worker): server.log.info("hook pre_fork %s", worker.age)
def post_fork(server, worker): server.log.info("hook post_fork %s", worker.pid)
def post_worker_init(worker): worker.log.info("hook post_worker_init %s", worker.cfg.workers)
def pre_request(worker, req): worker.log.info("hook pre_request %s %s", req.method, req.path)
def post_request(worker, req, environ, resp):
    worker.log.info("hook post_request %s %s", resp.status_code, environ["QUERY_STRING"])
def child_exit(server, worker): server.log.info("hook child_exit %s", worker.pid)
def worker_exit(server, worker): worker.log.info("hook worker_exit %s", worker.pid)
def nworkers_changed(server, new, old): server.log.info("hook nworkers_changed %s %s", new, old)
def on_exit(server): server.log.info("hook on_exit")
"""

# Numbers from 1 to the number of workers, given again when a worker has gone.
WORKER_IDS = """
def on_starting(server):
    server._worker_id_overload = set()

def nworkers_changed(server, new_value, old_value):
    server._worker_id_current_workers = new_value

def _next_worker_id(server):
    if server._worker_id_overload:
        return server._worker_id_overload.pop()
    in_use = {worker._worker_id for worker in server.WORKERS.values() if worker.alive}
    return min(set(range(1, server._worker_id_current_workers + 1)) - in_use)

def on_reload(server):
    server._worker_id_overload = set(range(1, server.cfg.workers + 1))

def pre_fork(server, worker):
    worker._worker_id = _next_worker_id(server)

def post_fork(server, worker):
    server.log.info("pid %s has number %s", worker.pid, worker._worker_id)
"""

PROMETHEUS = """
from prometheus_client import multiprocess
def child_exit(server, worker):
    multiprocess.mark_process_dead(worker.pid)
    server.log.info("marked %s", worker.pid)
"""

MEASURED = """
import prometheus_client
from prometheus_client import multiprocess
BUSY = prometheus_client.Gauge("busy", "workers that answer", multiprocess_mode="livesum")
def application(environ, start_response):
    BUSY.set(1)
    registry = prometheus_client.CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    start_response("200 OK", [])
    return [prometheus_client.generate_latest(registry)]
"""


def hooks_in(log):
    return re.findall(r"hook (\w+)", log)


def start(site, configuration, *arguments, **options):
    site.write("conf.py", configuration)
    return site.start("-c", "conf.py", *arguments, "wsgi_test:application", **options)


def test_every_hook_is_called_in_gunicorns_order(site):
    site.write("wsgi_test.py", ECHO_QUERY)
    arbiter = start(site, EVERY_HOOK, "-w", "1")
    (pid,) = arbiter.workers()
    get(arbiter.port, "/?a")
    arbiter.wait_for_log("hook post_request 200 a")
    assert arbiter.stop() == 0
    log = arbiter.log()
    assert hooks_in(log) == ["nworkers_changed", "on_starting", "when_ready", "pre_fork",
                             "post_fork", "post_worker_init", "pre_request", "post_request",
                             "worker_exit", "child_exit", "on_exit"]
    assert "hook on_starting True" in log
    assert "hook nworkers_changed 1 None" in log
    assert f"hook post_fork {pid}" in log and f"hook child_exit {pid}" in log
    site.assert_nothing_left()


def test_reload_runs_the_hooks_of_the_new_file(site):
    arbiter = start(site, EVERY_HOOK, "-w", "1")
    site.write("conf.py", EVERY_HOOK.replace("hook on_reload", "hook on_reload anew"))
    arbiter.send(signal.SIGHUP)
    arbiter.wait_for_log("hook on_reload anew")
    arbiter.wait_for_log("hook post_worker_init", count=2)
    assert arbiter.stop() == 0


LASTING = """
import http.server, os, threading
def on_starting(server):
    server.made = "by on_starting"
    os.environ["FROM_ON_STARTING"] = "1"
def when_ready(server):
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(str(os.getpid()).encode())
        def log_message(self, *arguments):
            pass
    metrics = http.server.HTTPServer(("127.0.0.1", int(os.environ["METRICS_PORT"])), Answer)
    threading.Thread(target=metrics.serve_forever, daemon=True).start()
    server.log.info("metrics are there")
def post_fork(server, worker):
    server.log.info("pid %s has %s, %s", worker.pid, getattr(server, "made", None),
                    os.environ.get("FROM_ON_STARTING"))
"""


def test_what_the_hooks_of_a_start_set_up_is_there_after_a_reload(site):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    arbiter = start(site, LASTING, "-w", "2", environment={"METRICS_PORT": str(port)})
    first = get(port).body
    assert arbiter.cornctl("reload").returncode == 0
    arbiter.wait_for_log("metrics are there", count=2)
    second = get(port).body
    assert second != first
    # Nor does a template that dies take anything along, as a worker doesn't hold its port.
    os.kill(int(second), signal.SIGKILL)
    os.kill(arbiter.workers()[0], signal.SIGKILL)
    arbiter.wait_for_log("metrics are there", count=3)
    assert get(port).body not in (first, second)
    arbiter.wait_for_log(r"has by on_starting, 1", count=5)
    # ThreadSanitizer runs one of its own.
    threads = 2 if SANITIZER == "thread" else 1
    arbiter.wait_for_log(rf"{threads} thread\(s\) run in the template process, started by the configuration")
    assert arbiter.stop() == 0
    assert "has failed" not in arbiter.log() and "has None" not in arbiter.log()


def test_numbers_of_workers_outlive_a_reload(site):
    arbiter = start(site, WORKER_IDS, "-w", "2")
    assert arbiter.cornctl("reload").returncode == 0
    victim = arbiter.workers()[0]
    os.kill(victim, signal.SIGKILL)
    arbiter.wait_for_log(r"has number \d", count=5)
    numbers = re.findall(r"pid (\d+) has number (\d+)", arbiter.log())
    assert numbers[-1][1] == dict(numbers)[str(victim)]
    assert arbiter.stop() == 0


def test_hook_that_raises_before_the_fork_keeps_workers_away_and_says_why(site):
    arbiter = start(site, "def pre_fork(server, worker): raise ValueError('no more')", ready=False)
    arbiter.wait_for_log(r"hook pre_fork failed: ValueError: no more")
    arbiter.wait_for_log(r"conf\.py\", line 1, in pre_fork")


def test_workers_share_locks_and_values_of_the_configuration_file(site):
    arbiter = start(site, """
import multiprocessing
lock = multiprocessing.Lock()
served = multiprocessing.Value("i", 0)
def post_request(worker, req):
    with lock:
        served.value += 1
    worker.log.info("served %s", served.value)
""", "-w", "3")
    for _ in range(20):
        get(arbiter.port)
    arbiter.wait_for_log(r"served 20$")
    assert arbiter.stop() == 0


def test_requests_of_threads_have_their_hooks_too(site):
    site.write("wsgi_test.py", ECHO_QUERY)
    arbiter = start(site, """
def pre_request(worker, req): worker.log.info("before %s %s", req.query, req.version)
def post_request(worker, req, environ, resp): worker.log.info("after %s %s", req.query, resp.sent)
""", "-w", "1", "--threads", "4")
    with concurrent.futures.ThreadPoolExecutor(8) as clients:
        list(clients.map(lambda number: get(arbiter.port, f"/?{number}"), range(10, 50)))
    assert arbiter.stop() == 0
    before = re.findall(r"before (\d\d) \(1, 1\)", arbiter.log())
    after = re.findall(r"after (\d\d) 2$", arbiter.log(), re.MULTILINE)
    assert sorted(before) == sorted(after) == [str(number) for number in range(10, 50)]


def test_pre_request_may_change_what_the_application_sees(site):
    site.write("wsgi_test.py", """
def application(environ, start_response):
    start_response("200 OK", [])
    names = ("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "RAW_URI", "HTTP_X_REQUEST_ID",
             "HTTP_X_LIST", "HTTP_X_SECRET", "HTTP_HOST", "CONTENT_TYPE")
    return [repr([environ.get(name) for name in names]).encode()]
""")
    arbiter = start(site, """
def pre_request(worker, req):
    if req.path == "/unchanged":
        return
    req.headers = [header for header in req.headers if header[0] != "X-SECRET"]
    req.headers.append(("X-Request-Id", "7"))
    req.headers.append(("X-LIST", "b"))
    req.headers.append(("Content-Type", "text/plain"))
    req.method, req.path, req.query, req.uri = "PUT", "/ol%64\xe9", "x=1", "/ol%64?x=1"
""", "-w", "1")
    sent = {"X-Secret": "s", "X-List": "a", "Host": "h"}
    answer = get(arbiter.port, "/new", headers=sent).body.decode()
    assert answer == repr(["PUT", "/old\xe9", "x=1", "/ol%64?x=1", "7", "a,b", None, "h",
                           "text/plain"])
    answer = get(arbiter.port, "/unchanged", headers=sent).body.decode()
    assert answer == repr(["GET", "/unchanged", "", "/unchanged", None, "a", "s", "h", None])


def test_post_request_follows_a_pre_request_that_raised(site):
    arbiter = start(site, """
def pre_request(worker, req): raise ValueError("not today")
def post_request(worker, req, environ, resp): worker.log.info("after %s %s", req.path, environ)
""", "-w", "1")
    assert get(arbiter.port, "/asked").status == 500
    arbiter.wait_for_log(r"ValueError: not today")
    arbiter.wait_for_log(r"after /asked \{\}")


def test_numbers_of_workers_are_given_again(site):
    arbiter = start(site, WORKER_IDS, "-w", "3")
    first = dict(re.findall(r"pid (\d+) has number (\d+)", arbiter.log()))
    assert sorted(first.values()) == ["1", "2", "3"]
    victim = arbiter.workers()[0]
    os.kill(victim, signal.SIGKILL)
    arbiter.wait_for_log(r"has number \d", count=4)
    numbers = re.findall(r"pid (\d+) has number (\d+)", arbiter.log())
    assert numbers[-1][1] == first[str(victim)]
    assert arbiter.stop() == 0


def test_metrics_of_a_dead_worker_are_taken_out(site):
    needs("python3:prometheus_client")
    metrics = site.root / "metrics"
    metrics.mkdir()
    site.write("wsgi_test.py", MEASURED)
    arbiter = start(site, PROMETHEUS, "-w", "1",
                    environment={"PROMETHEUS_MULTIPROC_DIR": str(metrics)})
    (pid,) = arbiter.workers()
    assert b"busy 1.0" in get(arbiter.port).body
    os.kill(pid, signal.SIGKILL)
    arbiter.wait_for_log(f"marked {pid}")
    wait_until(lambda: b"busy 1.0" in get(arbiter.port).body, "the next worker")
    assert not list(metrics.glob(f"*live*_{pid}.db"))
    assert arbiter.stop() == 0


def test_worker_exit_runs_in_a_worker_that_is_interrupted(site):
    arbiter = start(site, """
def worker_int(worker): worker.log.info("interrupted %s", worker.alive)
def worker_exit(server, worker): worker.log.info("exit of %s", worker.pid)
""", "-w", "1")
    (pid,) = arbiter.workers()
    os.kill(pid, signal.SIGQUIT)
    arbiter.wait_for_log(f"exit of {pid}")
    assert "interrupted False" in arbiter.log()
    assert arbiter.stop() == 0


def test_worker_exit_runs_in_a_worker_that_is_ended_for_its_silence(site):
    site.write("silent.py", """
import time
def application(environ, start_response):
    time.sleep(600)
""")
    site.write("conf.py", """
def worker_abort(worker): worker.log.info("hook worker_abort %s", worker.pid)
def worker_exit(server, worker): worker.log.info("hook worker_exit %s", worker.pid)
def child_exit(server, worker): server.log.info("hook child_exit %s", worker.pid)
""")
    arbiter = site.start("-c", "conf.py", "-w", "1", "--timeout", "1", "silent:application")


    def called_in_one():
        """A worker that dies has milliseconds for its hooks, too few on a busy machine."""
        arbiter.wait_ready(1)
        (pid,) = arbiter.workers()
        with socket.create_connection(("127.0.0.1", arbiter.port)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
            arbiter.wait_for_log(f"hook child_exit {pid}")
        called = re.findall(rf"hook (\w+) {pid}", arbiter.log())
        return called == ["worker_abort", "worker_exit", "child_exit"]

    wait_until(called_in_one, "every hook of a worker's end")


ASGI_HELLO = """
async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            event = (await receive())["type"]
            await send({"type": f"{event}.complete"})
            if event == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})
"""


def test_asgi_workers_have_every_hook(site):
    site.write("hello_asgi.py", ASGI_HELLO)
    site.write("conf.py", EVERY_HOOK)
    arbiter = site.start("-c", "conf.py", "-w", "1", "-k", "asgi", "hello_asgi:application")
    assert get(arbiter.port, "/?a").body == b"hello"
    assert arbiter.stop() == 0
    log = arbiter.log()
    assert hooks_in(log) == ["nworkers_changed", "on_starting", "when_ready", "pre_fork", "post_fork",
                             "post_worker_init", "pre_request", "post_request", "worker_exit",
                             "child_exit", "on_exit"]
    assert "hook post_request 200 a" in log


def test_pre_request_may_change_an_asgi_applications_scope(site):
    site.write("scope_asgi.py", """
async def application(scope, receive, send):
    assert scope["type"] == "http"
    body = repr([scope["method"], scope["path"], scope["raw_path"], scope["query_string"],
                 scope["headers"]]).encode()
    await send({"type": "http.response.start", "status": 201, "headers": [(b"x-a", b"1")]})
    await send({"type": "http.response.body", "body": body})
""")
    site.write("conf.py", """
def pre_request(worker, req):
    if req.path == "/refused":
        raise ValueError("not today")
    req.headers = [("X-Request-Id", "7")]
    req.method, req.path, req.query = "PUT", "/ol%C3%A9", "x=1"

def post_request(worker, req, environ, resp):
    worker.log.info("after %s %s %s %s", resp.status, resp.headers, resp.sent > 20, worker.nr)
""")
    arbiter = site.start("-c", "conf.py", "-w", "1", "-k", "asgi", "scope_asgi:application")
    assert get(arbiter.port, "/new").body.decode() == repr(
        ["PUT", "/ol\u00e9", b"/ol%C3%A9", b"x=1", [(b"x-request-id", b"7")]])
    arbiter.wait_for_log(r"after 201 Created \[\('x-a', '1'\)\] True 1")
    assert get(arbiter.port, "/refused").status == 500
    arbiter.wait_for_log(r"ValueError: not today")
    arbiter.wait_for_log(r"after None \[\] False 1")


def test_hooks_see_gunicorns_attributes_of_settings_and_server(site):
    arbiter = start(site, """
import os
raw_env = ["STAGE=test"]
def on_starting(server):
    cfg = server.cfg
    server.log.info("derived %s %s %s", cfg.address[0][0], cfg.env, cfg.proc_name)
    server.log.info("ids %s", (cfg.uid, cfg.gid) == (os.geteuid(), os.getegid()))
    bind = cfg.settings["bind"]
    server.log.info("settings %s %s %s", bind.name, bind.get() == bind.value == cfg.bind,
                    cfg.settings["on_starting"].get() is on_starting)
    server.log.info("server %s %s %s", server.address == cfg.address, server.proc_name,
                    server.pidfile.fname == cfg.pidfile)
""", "-w", "1", "-p", site.root / "pid")
    log = arbiter.log()
    assert "derived 127.0.0.1 {'STAGE': 'test'} wsgi_test:application" in log
    assert "ids True" in log and "settings bind True True" in log
    assert "server True wsgi_test:application True" in log


def test_hooks_reach_gunicorns_loggers(site):
    arbiter = start(site, """
import logging
class Shout(logging.Filter):
    def filter(self, record):
        record.msg = record.msg.upper()
        return True
def on_starting(server):
    server.log.error_log.info("before the fork")
def post_fork(server, worker):
    server.log.error_log.addFilter(Shout())
    server.log.access_log.addFilter(Shout())
def post_worker_init(worker):
    logging.getLogger("gunicorn.error").info("quiet")
""", "-w", "1")
    arbiter.wait_for_log(r"\[INFO\] QUIET")
    assert len(re.findall(r"\[INFO\] before the fork$", arbiter.log(), re.MULTILINE)) == 1
    assert arbiter.log().count("QUIET") == 1
    assert len(re.findall(r"\[WARNING\] A hook has asked for log\.access_log", arbiter.log())) == 1


WRAPPED = """
def wrapped(application):
    def around(environ, start_response):
        environ["QUERY_STRING"] += " wrapped"
        return application(environ, start_response)
    return around
def post_worker_init(worker):
    worker.wsgi = wrapped(worker.wsgi)
"""


def test_an_application_that_post_worker_init_assigns_is_served(site):
    site.write("wsgi_test.py", ECHO_QUERY)
    for arguments in (["-k", "sync"], ["-k", "gthread", "--preload"]):
        arbiter = start(site, WRAPPED, "-w", "2", *arguments)
        assert get(arbiter.port, "/?a").body == b"a wrapped"
        assert arbiter.stop() == 0


def test_an_assigned_application_without_effect_is_told(site):
    site.write("hello_asgi.py", ASGI_HELLO)
    site.write("conf.py", WRAPPED)
    arbiter = site.start("-c", "conf.py", "-w", "1", "-k", "asgi", "hello_asgi:application")
    assert get(arbiter.port).body == b"hello"
    assert re.search(r"\[WARNING\] .*worker\.wsgi, which has no effect with the worker class asgi",
                     arbiter.log())


def test_what_post_worker_init_assigns_must_be_callable(site):
    arbiter = start(site, "def post_worker_init(worker): worker.wsgi = 7\n", "-w", "1", ready=False)
    arbiter.wait_for_log("worker.wsgi must be callable, but is of type 'int' now")


def test_requests_are_counted_after_pre_request(site):
    arbiter = start(site, """
def pre_request(worker, req): worker.log.info("before %s", worker.nr)
def post_request(worker, req): worker.log.info("after %s", worker.nr)
""", "-w", "1")
    get(arbiter.port)
    get(arbiter.port)
    arbiter.wait_for_log(r"after 2$")
    assert re.findall(r"(before|after) (\d)$", arbiter.log(), re.MULTILINE) == [
        ("before", "0"), ("after", "1"), ("before", "1"), ("after", "2")]
