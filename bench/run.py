# SPDX-License-Identifier: Apache-2.0
"""Compares Corn with its peers; see bench/README.md for what is measured and how to read it."""

import argparse
import contextlib
import importlib.util
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import memory

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parent
CONNECTIONS = 32
# Corn's goals against a peer, as multiples of the peer's requests a second.
GOALS = [("corn sync", "gunicorn gthread", 5.0), ("corn sync", "uwsgi", 1.5),
         ("corn gthread", "gunicorn gthread", 5.0), ("corn gthread", "uwsgi", 1.5),
         ("corn gevent", "gunicorn gevent", 3.0),
         ("corn asgi", "uvicorn", 1.5), ("corn asgi asyncio", "uvicorn asyncio", 5.0)]


class Server:
    """A server under test, pinned to one processor; its worker count is one."""

    def __init__(self, name, command, directory, processor):
        self.name = name
        self.processor = processor
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        run = directory / "run"
        run.mkdir(exist_ok=True)
        self.log = directory / (name.replace(" ", "-") + ".log")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [word.format(port=self.port) for word in command], cwd=HERE / "apps", stdout=log,
                stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
                env={**os.environ, "XDG_RUNTIME_DIR": str(run), "PYTHONDONTWRITEBYTECODE": "1"},
                preexec_fn=lambda: os.sched_setaffinity(0, {processor}))

    def wait_until_it_answers(self):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), \
                    socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
                if connection.recv(100).startswith(b"HTTP/1.1 200"):
                    return True
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        print(f"{self.name} does not answer; its log:\n{self.log.read_text()[-2000:]}", file=sys.stderr)
        return False

    def cpu_seconds(self):
        """Of the server's session: the process itself, its workers, and those that it has reaped."""
        ticks = 0
        for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = stat.read_text().rpartition(")")[2].split()
                if int(fields[3]) == self.process.pid:
                    ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def stop(self):
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def load(server, seconds, processor):
    """One round: requests a second, CPU microseconds a request, failed requests."""
    before = server.cpu_seconds()
    result = subprocess.run(
        ["taskset", "-c", str(processor), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency",
         f"http://127.0.0.1:{server.port}/"], capture_output=True, text=True, check=True)
    used = server.cpu_seconds() - before
    text = result.stdout
    requests = int(re.search(r"(\d+) requests in", text).group(1))
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1))
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    failed = (sum(map(int, errors.groups())) if errors else 0) + \
        (int(refused.group(1)) if refused else 0)
    return {"rate": rate, "cpu_us": used / requests * 1e6 if requests else 0.0, "failed": failed,
            "p99": re.search(r"99%\s+(\S+)", text).group(1)}


def commands(options):
    arbiterd = str(options.bin.resolve() / "arbiterd")
    gunicorn = shutil.which(options.gunicorn)
    uwsgi = shutil.which("uwsgi")
    bind = "127.0.0.1:{port}"
    found = {
        "corn sync": [arbiterd, "--name", "bench-sync", "-w", "1", "-b", bind, "hello:application"],
        "corn gthread": [arbiterd, "--name", "bench-gthread", "-w", "1", "-k", "gthread", "--threads",
                         "4", "-b", bind, "hello:application"],
    }
    if importlib.util.find_spec("gevent"):
        found["corn gevent"] = [arbiterd, "--name", "bench-gevent", "-w", "1", "-k", "gevent", "-b", bind,
                                "hello:application"]
        if gunicorn:
            found["gunicorn gevent"] = [gunicorn, "-w", "1", "-k", "gevent", "-b", bind,
                                        "hello:application"]
    for name, loop in (("corn asgi", "uvloop"), ("corn asgi asyncio", "asyncio")):
        found[name] = [arbiterd, "--name", name.replace(" ", "-"), "-w", "1", "-k", "asgi",
                       "--asgi-loop", loop, "-b", bind, "hello_asgi:application"]
    if importlib.util.find_spec("uvicorn"):
        uvicorn = ["/usr/bin/python3", "-m", "uvicorn", "--no-access-log", "--log-level", "warning",
                   "--port", "{port}", "hello_asgi:application"]
        found["uvicorn"] = [*uvicorn, "--loop", "uvloop", "--http", "httptools"]
        found["uvicorn asyncio"] = [*uvicorn, "--loop", "asyncio", "--http", "h11"]
    if gunicorn:
        found["gunicorn sync"] = [gunicorn, "-w", "1", "-b", bind, "hello:application"]
        found["gunicorn gthread"] = [gunicorn, "-w", "1", "-k", "gthread", "--threads", "4", "-b", bind,
                                     "hello:application"]
    if uwsgi:
        # A thread holds its connection as long as that lives, so there must be one for each.
        found["uwsgi"] = [uwsgi, "--plugin", "python3", "--http11-socket", bind, "--master",
                          "--processes", "1", "--threads", str(CONNECTIONS), "--disable-logging",
                          "--module", "hello:application", "--die-on-term"]
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=pathlib.Path, required=True, help="where arbiterd is")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="length of a round")
    parser.add_argument("--gunicorn", default="/usr/bin/gunicorn", help="the gunicorn to compare with")
    parser.add_argument("--only", metavar="REGEX", default="", help="servers to measure")
    parser.add_argument("--check", action="store_true", help="exit 1 if a goal is missed")
    options = parser.parse_args()

    processors = sorted(os.sched_getaffinity(0))
    load_processor, server_processor = processors[0], processors[-1]
    results = {}
    with tempfile.TemporaryDirectory(prefix="corn-bench-") as directory:
        servers = [Server(name, command, pathlib.Path(directory), server_processor)
                   for name, command in commands(options).items() if re.search(options.only, name)]
        try:
            servers = [server for server in servers if server.wait_until_it_answers()]
            for server in servers:
                load(server, 1, load_processor)  # caches warm, buffers grown
            for number in range(options.rounds):
                for server in servers:
                    round_result = load(server, options.seconds, load_processor)
                    results.setdefault(server.name, []).append(round_result)
                print(f"round {number + 1} of {options.rounds}: " + ", ".join(
                    f"{name} {rounds[-1]['rate']:.0f}" for name, rounds in results.items()), flush=True)
        finally:
            for server in servers:
                server.stop()
        missed = report(results)
        if re.search(options.only, "memory"):
            environment = {**os.environ, "XDG_RUNTIME_DIR": str(pathlib.Path(directory) / "run"),
                           "PYTHONDONTWRITEBYTECODE": "1"}
            (pathlib.Path(directory) / "run").mkdir(exist_ok=True)
            missed |= not memory.report(options.bin.resolve(), HERE / "apps", environment)
    return 1 if options.check and missed else 0


def report(results):
    """Prints what was measured; True: a goal is missed."""
    rates = {name: statistics.median(r["rate"] for r in rounds) for name, rounds in results.items()}
    print(f"\n{'one worker, hello, ' + str(CONNECTIONS) + ' connections':34} {'req/s':>9} "
          f"{'cpu us/req':>11} {'p99':>9} {'failed':>7}")
    for name, rounds in sorted(results.items(), key=lambda item: -rates[item[0]]):
        cpu = statistics.median(r["cpu_us"] for r in rounds)
        failed = sum(r["failed"] for r in rounds)
        p99 = sorted(rounds, key=lambda r: r["rate"])[len(rounds) // 2]["p99"]
        print(f"{name:34} {rates[name]:9.0f} {cpu:11.1f} {p99:>9} {failed:7}")
    missed = False
    print()
    for ours, peer, goal in GOALS:
        if ours in rates and peer in rates:
            ratio = rates[ours] / rates[peer]
            missed |= ratio < goal
            print(f"{ours} / {peer}: {ratio:.2f} (goal {goal:g}{'' if ratio >= goal else ', MISSED'})")
    output = REPOSITORY / "build" / "bench" / "results.json"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(results, indent=1), encoding="utf-8")
    return missed


if __name__ == "__main__":
    sys.exit(main())
