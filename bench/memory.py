# SPDX-License-Identifier: Apache-2.0
"""What eight workers of one Flask application hold in memory, each loading its own against forked from a template."""
import contextlib
import importlib.util
import json
import pathlib
import subprocess
import time

WORKERS = 8
GOAL = 0.30  # of the memory of separate workers
PATIENCE = 30  # seconds


def proportional_size(pid):
    """Bytes: what is shared is divided among those who share it (proc(5), smaps_rollup)."""
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"/proc/{pid}/smaps_rollup has no Pss")


def children(pid):
    found = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return [int(child) for child in found]


def ready(cornctl, name, environment):
    status = subprocess.run([cornctl, "-i", name, "--json", "status"], env=environment, capture_output=True,
                            text=True, check=False)
    return status.returncode == 0 and json.loads(status.stdout)["pools"][0]["ready"] == WORKERS


def measure(binaries, apps, environment, name, arguments):
    """Bytes of all children of an arbiterd with eight workers, a template included."""
    command = [str(binaries / "arbiterd"), "--name", name, "-w", str(WORKERS), "-b", "127.0.0.1:0", *arguments,
               "flask_hello:application"]
    with subprocess.Popen(command, cwd=apps, env=environment, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL) as arbiter:
        try:
            deadline = time.monotonic() + PATIENCE
            while not ready(str(binaries / "cornctl"), name, environment):
                if time.monotonic() > deadline or arbiter.poll() is not None:
                    raise TimeoutError(f"{name}: {WORKERS} workers did not become ready")
                time.sleep(0.1)
            return sum(proportional_size(pid) for pid in children(arbiter.pid))
        finally:
            with contextlib.suppress(ProcessLookupError):
                arbiter.terminate()


def report(binaries, apps, environment):
    """Prints both figures and their ratio; False: the goal is missed. True where Flask isn't installed."""
    if not importlib.util.find_spec("flask"):
        print("memory: not measured, python3-flask is not installed")
        return True
    separate = measure(binaries, apps, environment, "bench-separate", [])
    preloaded = measure(binaries, apps, environment, "bench-preload", ["--preload"])
    ratio = preloaded / separate
    print(f"{WORKERS} flask workers, memory (PSS): separate {separate / 2**20:.0f} MiB, "
          f"--preload {preloaded / 2**20:.0f} MiB with its template: {ratio:.0%} "
          f"(goal at most {GOAL:.0%}{'' if ratio <= GOAL else ', MISSED'})")
    return ratio <= GOAL
