# SPDX-License-Identifier: Apache-2.0
"""What the chaos suite does to an instance. Each fault is a method of Faults; its two numbers, drawn
beforehand from the seed, are all the chance there is in it.

Faults don't wait for the instance to be well again unless they must: the next one finds it as it is.
"""

import collections
import json
import os
import pathlib
import random
import select
import shutil
import signal
import socket
import subprocess
import time

from chaos_clients import APPLICATION, connections_of
from harness import BIN, PATIENCE, SANITIZER, process_alive, wait_until
from test_upgrade import listening_inode

# Instrumented programs are slower; a worker must not be taken for silent because of that.
TIMEOUT = 30 if SANITIZER else 8
# Descriptors of a worker, and connections that are more than all workers can take, and the
# same of the arbiter.
WORKER_DESCRIPTORS = 64
CROWD = 400
ARBITER_DESCRIPTORS = 256
CONTROL_CROWD = 400
HIGHEST_TARGET = 5

# The deck from which the history is dealt, shuffled anew whenever it is empty.
DECK = ("kill_worker", "kill_worker", "segv_worker", "pause_worker", "freeze_worker", "term_worker",
        "quit_worker", "abort_worker", "reopen_worker", "restart_worker", "execute_worker",
        "kill_arbiter", "kill_arbiter_twice", "pause_arbiter", "hup", "ttin", "ttou", "usr1", "usr2",
        "winch", "chld", "many_signals", "scale", "scale", "reload", "reload_syntax_error",
        "reload_import_error", "reload_slow_import", "upgrade", "upgrade_refused", "rotate",
        "full_disk", "crowd", "control_crowd")


def history(seed):
    """The faults in order, for ever: (name, number, number), the numbers in [0, 1)."""
    choice = random.Random(seed)
    while True:
        for name in choice.sample(DECK, len(DECK)):
            yield name, choice.random(), choice.random()


class Violation(AssertionError):
    """Corn did what it must not."""


def still(pid):
    """Whether every thread of the process stands still, or it is gone."""
    try:
        states = [path.read_text().rpartition(")")[2].split()[0]
                  for path in pathlib.Path(f"/proc/{pid}/task").glob("*/stat")]
    except OSError:
        return True
    return all(state in "TtZX" for state in states)


class Faults:
    def __init__(self, site, start, ledger, port):
        """`start()` starts arbiterd and returns it without waiting."""
        self.site, self.start, self.ledger, self.port = site, start, ledger, port
        self.arbiter = self.inode = None  # of the listening socket
        self.events = {}  # by sequence number, all that was ever read
        self.log = collections.deque(maxlen=60)
        self.begun = time.monotonic()
        self.counts = collections.Counter()
        self.ended = {}    # pid of a worker: the causes that its end may have
        self.serving = {}  # {worker: pid}, when the arbiter was killed
        self.pending = []  # cornctl commands that run
        self.dying = []    # (pid, what) that the arbiter must put an end to
        self.version = 0
        self.broken_code = self.arbiter_died = False
        self.target = [0, 0]  # the least and the most that was asked for
        self.disk = site.root / "log"
        self.program = site.root / "bin" / "arbiterd"

    # ---- tools ----

    def note(self, text):
        self.log.append(f"{time.monotonic() - self.begun:8.3f} {text}")

    def inject(self, name, first, second):
        self.counts[name] += 1
        self.note(f"{name} {first:.3f} {second:.3f}")
        if self.arbiter.process.poll() is not None:
            raise Violation(f"arbiterd has ended with {self.arbiter.process.returncode}")
        getattr(self, name)(first, second)

    def write_application(self, head="", version=None):
        text = APPLICATION.replace("{version}", str(version or self.version))
        self.site.write("app.py", head + text)

    def new_version(self, head=""):
        self.version += 1
        self.write_application(head)

    def cornctl(self, *arguments):
        result = self.arbiter.cornctl("--timeout", "100", *arguments)
        self.note(f"  cornctl {' '.join(map(str, arguments))}: {result.returncode} "
                  f"{(result.stderr.strip() or result.stdout.strip())[-200:]!r}")
        if result.returncode not in (0, 1, 3):
            raise Violation(f"cornctl {arguments} ended with {result.returncode}: {result.stderr}")
        return result

    def cornctl_meanwhile(self, *arguments):
        self.note(f"  cornctl {' '.join(map(str, arguments))} begins")
        self.pending.append((arguments, subprocess.Popen(
            [BIN / "cornctl", "--timeout", "100", *map(str, arguments)], cwd=self.site.root,
            env=self.site.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True)))

    def finish_commands(self):
        for arguments, process in self.pending:
            _, errors = process.communicate(timeout=150)
            if process.returncode not in (0, 1, 3):
                raise Violation(f"cornctl {arguments} ended with {process.returncode}: {errors}")
        self.pending.clear()

    def workers(self, states=("READY", "BUSY")):
        status = self.arbiter.try_status()
        return [] if status is None else [
            worker["pid"] for pool in status["pools"] for worker in pool["workers"]
            if worker["state"] in states and worker["pid"] > 0]

    def victim(self, share, states=("BOOTING", "READY", "BUSY", "DRAINING")):
        """A pidfd and a pid, or None. The pidfd makes sure that nobody else is hit."""
        workers = self.workers(states)
        if not workers:
            self.note("  nobody there")
            return None
        pid = workers[int(share * len(workers))]
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return None
        if pid not in self.site.processes():
            os.close(descriptor)
            return None
        return descriptor, pid

    def stand_still(self, victim):
        signal.pidfd_send_signal(victim[0], signal.SIGSTOP)
        wait_until(lambda: still(victim[1]), "a worker to stop")

    def put_down(self, share, number, cause, runs_on=False):
        """Ends a worker by a signal; excuses the requests on the connections it holds."""
        victim = self.victim(share)
        if not victim:
            return
        descriptor, pid = victim
        try:
            self.stand_still(victim)
            held = connections_of(pid, self.port)
            self.note(f"  worker {pid}, which holds {len(held)} connections")
            # One that boots and is told to exit hasn't booted.
            causes = {cause, "lost"} | ({"boot-failed"} if cause == "exited" else set())
            self.ended.setdefault(pid, set()).update(causes)
            self.ledger.hold(held, f"worker: {cause}")
            window = self.ledger.window(pid, f"worker: {cause}") if runs_on else None
            signal.pidfd_send_signal(descriptor, number)
            signal.pidfd_send_signal(descriptor, signal.SIGCONT)
            if not select.select([descriptor], [], [], 2 * PATIENCE)[0]:
                raise Violation(f"worker {pid} doesn't end by signal {number}")
            if window:
                window[2] = time.monotonic()
        except ProcessLookupError:
            self.note("  already gone")
        finally:
            os.close(descriptor)

    def collect(self):
        """Reads the history as far as it goes; False where nobody answers."""
        result = self.arbiter.cornctl("--json", "events")
        if result.returncode != 0:
            return False
        for line in result.stdout.splitlines():
            event = json.loads(line)
            known = self.events.setdefault(int(event["sequence"]), event)
            for name in ("kind", "workerId", "pid", "generation", "cause", "time"):
                if known[name] != event[name]:
                    raise Violation(f"one sequence number, two events: {known} and {event}")
        return True

    # ---- workers ----

    def kill_worker(self, share, _):
        self.put_down(share, signal.SIGKILL, "crashed(KILL)")

    def segv_worker(self, share, _):
        self.put_down(share, signal.SIGSEGV, "crashed(SEGV)", runs_on=True)

    def abort_worker(self, share, _):
        self.put_down(share, signal.SIGABRT, "crashed(ABRT)", runs_on=True)

    def quit_worker(self, share, which):
        self.put_down(share, (signal.SIGINT, signal.SIGQUIT)[int(which * 2)], "exited", runs_on=True)

    def pause_worker(self, share, length):
        """Stopped for less than `timeout`: nothing may fail, it only takes longer."""
        victim = self.victim(share)
        if not victim:
            return
        try:
            self.stand_still(victim)
            time.sleep(0.1 + length * 0.9)
            signal.pidfd_send_signal(victim[0], signal.SIGCONT)
        except ProcessLookupError:
            self.note("  already gone")
        finally:
            os.close(victim[0])

    def freeze_worker(self, share, _):
        """Stopped for good: the arbiter must find out and replace it."""
        victim = self.victim(share, ("READY", "BUSY"))
        if not victim:
            return
        try:
            self.stand_still(victim)
            held = connections_of(victim[1], self.port)
            self.note(f"  worker {victim[1]}, which holds {len(held)} connections")
            self.ended.setdefault(victim[1], set()).update({"timeout", "lost"})
            self.ledger.hold(held, "worker: timeout")
            self.dying.append((victim[1], "stands still"))
        except ProcessLookupError:
            self.note("  already gone")
        finally:
            os.close(victim[0])

    def tell_worker(self, share, number):
        victim = self.victim(share, ("READY", "BUSY"))
        if not victim:
            return None
        try:
            signal.pidfd_send_signal(victim[0], number)
            return victim[1]
        except ProcessLookupError:
            return None
        finally:
            os.close(victim[0])

    def term_worker(self, share, _):
        pid = self.tell_worker(share, signal.SIGTERM)
        if pid:
            self.ended.setdefault(pid, set()).update({"exited", "lost"})

    def reopen_worker(self, share, _):
        self.tell_worker(share, signal.SIGUSR1)

    def restart_worker(self, share, wait):
        victim = self.victim(share, ("READY", "BUSY"))
        if victim:
            os.close(victim[0])
            self.ended.setdefault(victim[1], set()).update({"killed-by-operator", "lost"})
            (self.cornctl if wait < 0.5 else self.cornctl_meanwhile)("restart", victim[1])

    def execute_worker(self, share, _):
        victim = self.victim(share, ("READY", "BUSY"))
        if not victim:
            return
        try:
            self.stand_still(victim)
            held = connections_of(victim[1], self.port)
            self.ended.setdefault(victim[1], set()).update({"killed-by-operator", "timeout", "lost"})
            self.ledger.hold(held, "worker: killed-by-operator")
            self.cornctl("kill", victim[1])
            if process_alive(victim[1]):  # refused, since the arbiter was about to be replaced
                signal.pidfd_send_signal(victim[0], signal.SIGCONT)
        except ProcessLookupError:
            self.note("  already gone")
        finally:
            os.close(victim[0])

    # ---- the arbiter ----

    def again(self, pause):
        self.ledger.arbiter_is_killed()
        self.arbiter.kill()
        self.arbiter_died = True
        time.sleep(pause)
        self.arbiter = self.start()
        self.note(f"  arbiter {self.arbiter.pid} starts")

    def arbiter_answers(self):
        wait_until(self.arbiter.try_status, "the new arbiter to answer")
        before, self.inode = self.inode, listening_inode(self.port)
        lost = self.inode != before
        if lost:
            self.note("  a new listening socket")
            self.check_that_nobody_held_the_socket()
        self.ledger.arbiter_is_back(lost)

    def check_that_nobody_held_the_socket(self):
        """A worker that was ready, not told to go, and not put down has it."""
        wait_until(self.collect, "the history")
        told = {event["workerId"] for event in self.events.values() if event["kind"] in
                ("WORKER_DRAINING", "WORKER_RETIRING", "WORKER_STUCK")}
        held = {pid for worker, pid in self.serving.items() if worker not in told and pid not in self.ended}
        if held:
            raise Violation(f"the listening socket is gone, though workers {held} should have kept it")

    def look_who_serves(self):
        """Before the arbiter is killed: {worker: pid}."""
        self.collect()
        pids = {kind: {event["workerId"]: event["pid"] for event in self.events.values()
                       if event["kind"] == kind} for kind in ("WORKER_READY", "WORKER_EXITED")}
        self.serving = {worker: pid for worker, pid in pids["WORKER_READY"].items()
                        if worker not in pids["WORKER_EXITED"]}

    def kill_arbiter(self, pause, _):
        self.look_who_serves()
        self.again(pause * 0.5)
        self.arbiter_answers()

    def kill_arbiter_twice(self, pause, life):
        """The second one dies while it takes over, or before."""
        self.look_who_serves()
        self.again(pause * 0.2)
        time.sleep(life * 0.3)
        self.again(0)
        self.arbiter_answers()

    def pause_arbiter(self, length, signals):
        self.arbiter.send(signal.SIGSTOP)
        time.sleep(0.1 + length * 0.7)
        if signals < 0.5:
            self.hup(0, 0)
            self.ttin(0, 0)
        self.arbiter.send(signal.SIGCONT)

    def hup(self, *_):
        self.arbiter.send(signal.SIGHUP)

    def ttin(self, *_):
        if self.target[1] < HIGHEST_TARGET:
            self.target[1] += 1
            self.arbiter.send(signal.SIGTTIN)

    def ttou(self, *_):
        self.target[0] = max(1, self.target[0] - 1)
        self.arbiter.send(signal.SIGTTOU)

    def usr1(self, *_):
        self.arbiter.send(signal.SIGUSR1)

    def usr2(self, *_):
        self.arbiter.send(signal.SIGUSR2)

    def chld(self, *_):
        for number in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGURG, signal.SIGCONT):
            self.arbiter.send(number)

    def times_asleep(self):
        wait_until(self.collect, "the history")
        return sum(event["kind"] == "DORMANT" for event in self.events.values())

    def winch(self, pause, way):
        """Sleep and revival."""
        before = self.times_asleep()
        self.ledger.pool_stopped = time.monotonic()
        self.arbiter.send(signal.SIGWINCH)
        # Signals that are pending together have no order: what wakes it must come after it slept.
        wait_until(lambda: self.times_asleep() > before, "the pool to sleep")
        time.sleep(pause * 0.5)
        if way < 0.4:
            self.hup()
        elif way < 0.7 and self.target[1] < HIGHEST_TARGET:
            self.ttin()
        else:
            self.scale(pause, 0.9)
        self.ledger.pool_stopped = time.monotonic()
        wait_until(self.workers, "the pool to wake")

    def many_signals(self, order, pauses):
        choice = random.Random(f"{order}/{pauses}")
        acts = [self.hup, self.ttin, self.ttou, self.usr1, self.usr2, self.chld]
        for _ in range(12):
            choice.choice(acts)()
            time.sleep(choice.random() * 0.03 * (pauses < 0.7))

    # ---- operators ----

    def scale(self, number, wait):
        wanted = 2 + int(number * (HIGHEST_TARGET - 1))
        uncertain = self.target[1] - self.target[0]
        if wait < 0.3:
            self.target = [min(self.target[0], wanted), max(self.target[1], wanted)]
            self.cornctl_meanwhile("scale", wanted)
        elif self.cornctl("scale", "--no-wait", wanted).returncode == 0:
            # A signal or command of before may still come to count.
            self.target = [max(1, wanted - uncertain), wanted + uncertain]
        else:
            self.target = [min(self.target[0], wanted), max(self.target[1], wanted)]

    def reload(self, *_):
        self.new_version()
        self.cornctl("reload")

    def reload_broken(self, head, kills):
        self.broken_code = True
        self.write_application(head)
        if self.cornctl("reload").returncode == 0:
            raise Violation("a reload of code that can't boot was reported as done")
        if kills < 0.3:
            self.kill_worker(kills / 0.3, 0)
        self.write_application()

    def reload_syntax_error(self, kills, _):
        self.reload_broken("def (:\n", kills)

    def reload_import_error(self, kills, _):
        self.reload_broken("import there_is_no_such_module\n", kills)

    def reload_slow_import(self, *_):
        self.new_version("import time\ntime.sleep(1.5)\n")
        self.cornctl_meanwhile("reload")

    def upgrade(self, *_):
        self.program.unlink()
        shutil.copy(BIN / "arbiterd", self.program)
        self.cornctl("upgrade")

    def upgrade_refused(self, which, _):
        good = self.program.with_suffix(".good")
        self.program.rename(good)
        if which < 0.6:
            self.program.write_text("#!/bin/sh\nexit 7\n" if which < 0.3 else "no program\n")
            self.program.chmod(0o755)
        refused = self.cornctl("upgrade").returncode
        good.replace(self.program)
        if refused == 0:
            raise Violation("an upgrade to a program that can't take over was reported as done")

    # ---- the machine ----

    def rotate(self, signal_or_command, _):
        for name in ("access", "error"):
            try:
                (self.disk / f"{name}.log").rename(self.disk / f"{name}.log.1")
            except FileNotFoundError:
                pass  # a full disk let nobody make it anew
        self.usr1() if signal_or_command < 0.5 else self.cornctl("reopen-logs")

    def full_disk(self, length, _):
        with (self.disk / "filler").open("wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(1 << 16))
            except OSError as error:
                self.note(f"  {error.strerror}")
        if length < 0.5:
            self.usr1()
        time.sleep(0.2 + length * 0.8)
        (self.disk / "filler").unlink()

    def crowd(self, length, _):
        """More connections than the workers have descriptors for, each with half a request."""
        sockets = []
        try:
            for _ in range(CROWD):
                connection = socket.socket()
                sockets.append(connection)
                connection.setblocking(False)
                connection.connect_ex(("127.0.0.1", self.port))
            for connection in select.select([], sockets, [], 1)[1]:
                try:
                    connection.send(b"GET /?")
                except OSError:
                    pass
            time.sleep(0.2 + length)
        finally:
            for connection in sockets:
                connection.close()

    def control_crowd(self, length, kills):
        """More connections to the control socket than anybody needs; workers die meanwhile."""
        path = next(iter(self.site.run.rglob("*.sock")), None)
        if path is None:
            self.note("  no control socket: an upgrade is under way")
            return
        workers = self.workers()
        sockets = []
        try:
            for _ in range(CONTROL_CROWD):
                connection = socket.socket(socket.AF_UNIX)
                sockets.append(connection)
                connection.setblocking(False)
                connection.connect_ex(str(path))
            if workers and kills < 0.5:
                self.kill_worker(kills * 2, 0)
            time.sleep(length * 0.3)
        finally:
            for connection in sockets:
                connection.close()
