# SPDX-License-Identifier: Apache-2.0
"""What the end-to-end tests stand on: a directory of its own for each test, arbiters started in it, and
an account of the processes left behind.

Nothing here sleeps for a guess: waiting is polling for a condition, with a limit that only a broken
program reaches. Limits are generous because the machine may be busy with other tests.
"""

import http.client
import importlib.util
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pytest

BIN = pathlib.Path(os.environ["CORN_BIN"])
SANITIZER = os.environ.get("CORN_SANITIZE", "")
REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
EXAMPLES = REPOSITORY / "examples"
APPLICATIONS = REPOSITORY / "tests" / "apps"
# How long a condition may take before the test fails; instrumented programs are several times slower.
PATIENCE = 90.0 if SANITIZER else 30.0
POLL_INTERVAL = 0.01
MARK = "CORN_E2E_SITE"
# Servers are in sbin, which a user's PATH may lack.
PROGRAM_PATH = os.environ.get("PATH", os.defpath) + ":/usr/sbin"

HELLO = """
def application(environ, start_response):
    body = b"Hello World"
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""

# Answers with the query string, so that a client knows the answer is its own.
ECHO_QUERY = """
import os
def application(environ, start_response):
    body = environ["QUERY_STRING"].encode()
    start_response("200 OK", [("Content-Length", str(len(body))), ("X-Pid", str(os.getpid()))])
    return [body]
"""


def needs(*names):
    """Skips the test where a program, or a Python package ("python3:NAME"), is missing; in CI, where
    packaging/debian-packages.txt is installed, that is a failure."""
    def present(name):
        kind, _, package = name.rpartition(":")
        return importlib.util.find_spec(package) if kind else shutil.which(name, path=PROGRAM_PATH)
    missing = [name for name in names if not present(name)]
    if missing and os.environ.get("CI"):
        pytest.fail(f"not installed: {', '.join(missing)}", pytrace=False)
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


def wait_until(condition, what, patience=PATIENCE):
    """Returns the first true value of condition(); fails naming `what` when time is up."""
    deadline = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {patience:.0f} s for {what}; last seen: {value!r}")
        time.sleep(POLL_INTERVAL)


def process_alive(pid):
    """Whether the process runs; one that has ended and waits to be reaped does not."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def process_title(pid):
    raw = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    return raw.rstrip(b"\0").replace(b"\0", b" ").decode()


def process_comm(pid):
    return pathlib.Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()


def context_switches(pids):
    """Voluntary and other context switches of all threads of the processes so far."""
    total = 0
    for pid in pids:
        for status in pathlib.Path(f"/proc/{pid}/task").glob("*/status"):
            found = re.findall(r"ctxt_switches:\s+(\d+)", status.read_text(encoding="utf-8"))
            total += sum(map(int, found))
    return total


def cpu_seconds(pids):
    ticks = 0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2]
        ticks += sum(map(int, fields.split()[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def rss_bytes(pid):
    pages = pathlib.Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def free_port():
    """A port that was free a moment ago, for tests about a port's number itself."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Response:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body


def get(port, path="/", method="GET", body=None, headers=None, host="127.0.0.1"):
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection(host, port, timeout=PATIENCE)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        return Response(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


def exchange(port, data, timeout=PATIENCE):
    """Sends bytes, says it is done sending, returns all bytes that come back."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
        return received


class Site:
    """A directory for one test: app/ is where arbiters start, run/ holds their sockets."""

    def __init__(self):
        # Directly below /tmp: a unix socket's path may have 107 bytes only.
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="corn-", dir="/tmp"))
        self.root.chmod(0o755)  # for workers that drop their privileges
        self.app = self.root / "app"
        self.run = self.root / "run"
        self.app.mkdir()
        self.run.mkdir(mode=0o700)
        self.arbiters = []
        self.write("wsgi_test.py", HELLO)

    def write(self, name, text):
        path = self.app / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # A second version written within one second must not be taken for the first's byte code.
        temporary = path.with_suffix(path.suffix + ".new")
        temporary.write_text(text, encoding="utf-8")
        shutil.rmtree(path.parent / "__pycache__", ignore_errors=True)
        temporary.rename(path)
        return path

    def environment(self, extra=None):
        inherited = {name: value for name, value in os.environ.items()
                     if name.startswith(("ASAN_", "UBSAN_", "TSAN_", "LSAN_", "GCOV_"))
                     or name in ("PATH", "HOME", "LANG", "TZ", "PYTHONMALLOC")}
        inherited.update({"XDG_RUNTIME_DIR": str(self.run), MARK: str(self.root),
                          "PYTHONDONTWRITEBYTECODE": "1"})
        inherited.update(extra or {})
        return inherited

    def start(self, *arguments, bind="127.0.0.1:0", environment=None, ready=True,
              program=BIN / "arbiterd", **popen):
        """Starts arbiterd; with `ready` returns when every worker serves."""
        options = [] if bind is None else ["--bind", bind]
        arbiter = Arbiter(self, [program, *options, *arguments], environment, popen)
        self.arbiters.append(arbiter)
        if ready:
            arbiter.wait_ready()
        return arbiter

    def run_arbiter(self, *arguments, environment=None, timeout=PATIENCE):
        """Runs an arbiterd that is expected to end by itself."""
        return subprocess.run([BIN / "arbiterd", *map(str, arguments)], cwd=self.app,
                              env=self.environment(environment), capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=timeout, check=False)

    def cornctl(self, *arguments, environment=None, timeout=3 * PATIENCE):
        return subprocess.run([BIN / "cornctl", *map(str, arguments)], cwd=self.root,
                              env=self.environment(environment), capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=timeout, check=False)

    def processes(self):
        """Pids of the live processes that this test's arbiters started, arbiters included."""
        mark = f"{MARK}={self.root}".encode()
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                belongs = mark in (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if belongs and process_alive(int(entry.name)):
                found.append(int(entry.name))
        return found

    def runtime_files(self):
        """What lies in the runtime directory."""
        return sorted(str(path.relative_to(self.run)) for path in self.run.rglob("*")
                      if not path.is_dir())

    def assert_nothing_left(self):
        wait_until(lambda: not self.processes(), "all processes to be gone")
        left = self.runtime_files()
        assert left == [], f"left in the runtime directory: {left}"

    def close(self):
        for arbiter in self.arbiters:
            arbiter.end()
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        wait_until(lambda: not self.processes(), "the test's processes to end")
        shutil.rmtree(self.root, ignore_errors=True)


class Arbiter:
    def __init__(self, site, arguments, environment, popen):
        self.site = site
        number = len(site.arbiters)
        self.log_path = site.root / f"stderr.{number}"
        self.output_path = site.root / f"stdout.{number}"
        with self.log_path.open("wb") as log, self.output_path.open("wb") as output:
            options = {"cwd": site.app, "stdin": subprocess.DEVNULL, "stdout": output,
                       "stderr": log, "env": site.environment(environment)}
            options.update(popen)
            self.process = subprocess.Popen([*map(str, arguments)], **options)
        self.pid = self.process.pid

    # ---- what it says ----

    def log(self):
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def output(self):
        return self.output_path.read_text(encoding="utf-8", errors="replace")

    def wait_for_log(self, pattern, count=1):
        """Waits until the pattern has been logged so often; returns the last match."""
        def search():
            if self.process.poll() is not None and not re.search(pattern, self.log(), re.MULTILINE):
                raise AssertionError(f"arbiterd ended with {self.process.returncode} before it "
                                     f"logged {pattern!r}:\n{self.log()}")
            found = list(re.finditer(pattern, self.log(), re.MULTILINE))
            return found[-1] if len(found) >= count else None
        try:
            return wait_until(search, f"{pattern!r} in the log")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log()}\n{self.what_hangs()}") from None

    def what_hangs(self):
        """What the operator would look at: status, and the stacks of workers that don't serve."""
        status = self.cornctl("status")
        seen = [status.stdout + status.stderr]
        for pool in (self.try_status() or {"pools": []})["pools"]:
            for worker in pool["workers"]:
                if worker["state"] not in ("READY", "BUSY"):
                    dump = self.cornctl("dump", str(worker["pid"]))
                    seen.append(dump.stdout + dump.stderr)
        return "\n".join(seen)

    @property
    def port(self):
        return int(self.wait_for_log(r"Listening at: http://127\.0\.0\.1:(\d+)").group(1))

    # ---- what it is ----

    def cornctl(self, *arguments, **options):
        return self.site.cornctl(*arguments, **options)

    def json(self, *arguments, **options):
        result = self.cornctl("--json", *arguments, **options)
        assert result.returncode == 0, (arguments, result)
        return json.loads(result.stdout)

    def status(self):
        return self.json("status")

    def try_status(self):
        """Status, or None while nobody answers."""
        result = self.cornctl("--json", "status")
        if result.returncode != 0:
            if self.process.poll() is not None:
                raise AssertionError(f"arbiterd ended with {self.process.returncode}:\n{self.log()}")
            return None
        return json.loads(result.stdout)

    def events(self):
        result = self.cornctl("--json", "events")
        assert result.returncode == 0, result
        return [json.loads(line) for line in result.stdout.splitlines()]

    def exits(self):
        return [event for event in self.events() if event["kind"] == "WORKER_EXITED"]

    def workers(self, states=("READY", "BUSY")):
        """Pids of the workers in one of the states, oldest first."""
        return [worker["pid"] for pool in self.status()["pools"] for worker in pool["workers"]
                if worker["state"] in states]

    def all_workers(self):
        return self.workers(("BOOTING", "READY", "BUSY", "DRAINING", "STOPPING"))

    def settled(self):
        """The status if every pool has exactly as many workers as it should, all able to serve."""
        status = self.try_status()
        if status is None or not status["pools"]:
            return None
        for pool in status["pools"]:
            serving = [w for w in pool["workers"] if w["state"] in ("READY", "BUSY")]
            if not len(serving) == len(pool["workers"]) == pool["target"] == pool["ready"]:
                return None
        return status

    def wait_ready(self, count=None):
        """Waits until all is settled, with `count` workers in the only pool if given."""
        def check():
            status = self.settled()
            if status and (count is None or status["pools"][0]["target"] == count):
                return status
            return None
        try:
            return wait_until(check, f"{count or 'all'} workers to be ready")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log()}") from None

    # ---- what is done to it ----

    def kill(self):
        """Its death without a word."""
        self.process.kill()
        self.process.wait()

    def send(self, number):
        os.kill(self.pid, number)

    def wait_exit(self, patience=PATIENCE):
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"arbiterd still runs after {patience:.0f} s:\n"
                                 f"{self.log()}") from None

    def stop(self, number=signal.SIGTERM):
        """Asks it to stop and returns its exit status."""
        self.send(number)
        return self.wait_exit()

    def end(self):
        """Ends it whatever state it is in; for teardown."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
