# SPDX-License-Identifier: Apache-2.0
"""One run of chaos: an instance under load, a random history of faults, and an account of it.

Faults come in acts. After each act nothing more is done to the instance, and it has to come to rest:
as many workers as were asked for, all ready, and what it tells of itself without a contradiction.
"""

import collections
import pathlib
import re
import resource
import subprocess
import time

from chaos_clients import KEEP_ALIVE, Clients
from chaos_faults import (ARBITER_DESCRIPTORS, DECK, TIMEOUT, WORKER_DESCRIPTORS, Faults, Violation,
                          history)
from harness import BIN, PATIENCE, free_port, process_alive, rss_bytes, wait_until
from test_upgrade import listening_inode

FAULTS_OF_AN_ACT = 9
WORKERS = 3
# What the arbiter may hold more than after the first act, all faults over.
MORE_DESCRIPTORS = 8
MORE_BYTES = 48 << 20

# Causes that nothing done here can have, unless Faults.ended says so.
CAUSES_OF_ORDERS = {"reloaded", "scaled-down", "shutdown"}


def open_descriptors(pid):
    return len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir()))


class Chaos:
    def __init__(self, site, seed):
        self.site, self.seed = site, seed
        self.port = free_port()
        self.worker_class = ("sync", "gthread")[seed % 2]
        self.clients = Clients(self.port, seed)
        self.faults = Faults(site, self.start, self.clients.ledger, self.port)
        self.plan = history(seed)
        self.checks = collections.Counter()
        self.mounted = False
        self.before = None
        self.judged = 0  # events up to this number have been judged

    # ---- the instance ----

    def prepare(self):
        faults = self.faults
        faults.disk.mkdir()
        mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "corn-chaos", faults.disk],
                               capture_output=True, check=False)
        self.mounted = mount.returncode == 0
        faults.program.parent.mkdir()
        for name in ("arbiterd", "workerd"):
            (faults.program.parent / name).symlink_to(BIN / name)
        faults.new_version()
        faults.arbiter = self.start()
        faults.arbiter.wait_ready(WORKERS)
        faults.target = [WORKERS, WORKERS]
        faults.inode = listening_inode(self.port)
        self.clients.start()

    def start(self):
        """Of descriptors arbiterd may have few, its workers fewer."""
        def limit():
            resource.setrlimit(resource.RLIMIT_NOFILE, (WORKER_DESCRIPTORS, ARBITER_DESCRIPTORS))
        threads = ["--threads", "4"] if self.worker_class == "gthread" else []
        arbiter = self.site.start(
            "--name", "chaos", "-w", WORKERS, "-k", self.worker_class, *threads,
            "--timeout", TIMEOUT, "--graceful-timeout", TIMEOUT, "--keep-alive", int(KEEP_ALIVE),
            "--error-logfile", self.faults.disk / "error.log",
            "--access-logfile", self.faults.disk / "access.log", "app:application",
            bind=f"127.0.0.1:{self.port}", ready=False, program=self.faults.program, preexec_fn=limit)
        return arbiter

    def close(self):
        self.clients.stopping.set()
        if self.mounted:
            subprocess.run(["umount", "--lazy", self.faults.disk], check=False)

    # ---- the run ----

    def run(self, acts=None, seconds=None):
        """So many acts, or as many as begin within so many seconds. Raises Violation."""
        begun = time.monotonic()
        self.prepare()
        number = 0
        while number < acts if acts else time.monotonic() - begun < seconds:
            for _ in range(FAULTS_OF_AN_ACT):
                self.faults.inject(*next(self.plan))
                self.check_clients()
            self.rest()
            number += 1
        self.end()

    def check_clients(self):
        unexcused = self.clients.ledger.unexcused
        if unexcused:
            when, text = unexcused[0]
            raise Violation(f"{len(unexcused)} requests failed without excuse, the first at "
                            f"{when - self.faults.begun:.3f}: {text}")
        self.checks["requests failed only on connections of workers that were put down"] += 1

    def calm_command(self, *arguments):
        """cornctl's result. An upgrade that was begun by a signal may still be on its way, and ends what
        waits: then it is asked again."""
        overtaken = ("overtaken by an upgrade", "is being upgraded in place")
        def attempt():
            result = self.faults.cornctl(*arguments)
            return None if any(text in result.stderr for text in overtaken) else result
        return wait_until(attempt, f"cornctl {arguments[0]} to be obeyed")

    def rest(self):
        """Nothing more is done until all is well."""
        faults = self.faults
        faults.note("rest")
        faults.finish_commands()
        for pid, what in faults.dying:
            wait_until(lambda pid=pid: not process_alive(pid),
                       f"the end of worker {pid}, which {what}", TIMEOUT + PATIENCE)
        faults.dying.clear()
        faults.new_version()
        status = self.settled()
        target = status["pools"][0]["target"]
        if not faults.target[0] <= target <= faults.target[1]:
            raise Violation(f"the target is {target}, though {faults.target} was asked for")
        self.checks["as many workers as were asked for, all ready"] += 1

        scaled = self.calm_command("scale", WORKERS)
        reloaded = self.calm_command("reload")
        if scaled.returncode or reloaded.returncode:
            raise Violation(f"a calm instance refuses: {scaled.stderr}{reloaded.stderr}")
        faults.target = [WORKERS, WORKERS]
        status = self.settled()
        pool = status["pools"][0]
        if {worker["generation"] for worker in pool["workers"]} != {pool["generation"]}:
            raise Violation(f"workers of several generations: {pool}")
        if pool["target"] != WORKERS:
            raise Violation(f"the pool is not as it was asked for: {pool}")
        # Code that couldn't boot degrades it; that passes.
        wait_until(lambda: self.settled()["pools"][0]["state"] == "SERVING", "the pool to recover")
        self.checks["after calm one generation, the newest code, serving"] += 1
        if listening_inode(self.port) != faults.inode:
            raise Violation("the listening socket is another one")
        self.checks["the same listening socket"] += 1
        pids = {worker["pid"] for worker in pool["workers"]}
        wait_until(lambda: {self.clients.versions.get(pid) for pid in pids} == {faults.version},
                   "every worker to answer with the newest code")
        self.check_clients()
        self.check_history(status)
        self.check_arbiter()

    def settled(self):
        return wait_until(self.faults.arbiter.settled, "the instance to come to rest", 3 * PATIENCE)

    def check_history(self, status):
        faults = self.faults
        if not faults.collect():
            raise Violation("a calm instance doesn't answer")
        events = faults.events
        if sorted(events) != list(range(1, len(events) + 1)):
            missing = sorted(set(range(1, max(events) + 1)) - set(events))
            raise Violation(f"sequence numbers are missing: {missing}")
        self.checks["sequence numbers without a gap"] += 1
        ends = collections.Counter(event["workerId"] for event in events.values()
                                   if event["kind"] == "WORKER_EXITED")
        alive = {worker["id"] for pool in status["pools"] for worker in pool["workers"]}
        for event in events.values():
            worker = event["workerId"]
            if event["kind"] == "WORKER_SPAWNED" and ends[worker] != (worker not in alive):
                raise Violation(f"worker {worker} has ended {ends[worker]} times: {event}")
        self.checks["every worker ended once, or lives"] += 1
        told = {event["workerId"] for event in events.values()
                if event["kind"] in ("WORKER_DRAINING", "WORKER_RETIRING", "WORKER_STUCK")}
        # That a worker is called off while it boots is no event of its own.
        ready = {event["workerId"] for event in events.values() if event["kind"] == "WORKER_READY"}
        for number in range(self.judged + 1, len(events) + 1):
            if events[number]["kind"] == "WORKER_EXITED":
                worker = events[number]["workerId"]
                self.check_cause(events[number], worker in told or worker not in ready)
        self.judged = len(events)
        self.checks["every end has its one cause"] += 1
        faults.ended.clear()

    def check_cause(self, event, told):
        cause, done = event["cause"], self.faults.ended.get(event["pid"], set())
        allowed = set(done)
        if told or not done:
            allowed |= CAUSES_OF_ORDERS
        if self.faults.broken_code:
            allowed.add("boot-failed")
        if self.faults.arbiter_died:
            allowed.add("lost")
        if cause not in allowed:
            raise Violation(f"an end has the cause {cause!r}, one of {sorted(allowed)} is right: {event}")

    def check_arbiter(self):
        pid = self.faults.arbiter.pid
        now = open_descriptors(pid), rss_bytes(pid)
        if self.before is None:
            self.before = now
        if now[0] > self.before[0] + MORE_DESCRIPTORS or now[1] > self.before[1] + MORE_BYTES:
            raise Violation(f"the arbiter has grown: descriptors and bytes {self.before} -> {now}")
        self.checks["the arbiter has not grown"] += 1

    def end(self):
        if not self.clients.stop():
            raise Violation("a client waits for ever")
        self.check_clients()
        if self.faults.arbiter.stop() != 0:
            raise Violation(f"arbiterd ended with {self.faults.arbiter.process.returncode}")
        self.site.assert_nothing_left()
        self.checks["no process and no file left"] += 1

    # ---- the account ----

    def account(self):
        ledger, faults = self.clients.ledger, self.faults
        events = faults.events.values()
        ends = collections.Counter(event["cause"] for event in events if event["kind"] == "WORKER_EXITED")
        def table(title, counts):
            return [title, *(f"  {count:8}  {name}" for name, count in sorted(counts.items()))]
        return "\n".join([
            f"chaos: seed {self.seed}, {self.worker_class}, {time.monotonic() - faults.begun:.0f} s",
            f"  {ledger.answered:8}  requests answered, each with its own answer, on "
            f"{ledger.connections} connections",
            f"  {sum(ledger.excused.values()):8}  failed with an excuse",
            f"  {len(ledger.unexcused):8}  failed without one",
            *table("excuses", ledger.excused), *table("faults", faults.counts),
            *table("ends of workers", ends), *table("times checked", self.checks)])

    def report(self, error):
        """What a person needs who looks for the cause of a failure."""
        faults = self.faults
        try:
            log = (faults.disk / "error.log").read_text(encoding="utf-8", errors="replace")[-6000:]
        except OSError as failure:
            log = str(failure)
        standard_error = "".join(arbiter.log()[-1500:] for arbiter in self.site.arbiters[-2:])
        lately = [f"{when - faults.begun:8.3f} {text}" for when, text in
                  self.clients.ledger.unexcused[:20]]
        return "\n".join([
            f"{type(error).__name__}: {error}", "", self.account(), "",
            f"CORN_CHAOS_SEED={self.seed} deals the same faults again. The last of them:",
            *faults.log, "failures without excuse:", *lately,
            "the last events:", *(
                re.sub(r"\s+", " ", str({key: value for key, value in event.items() if value}))[:300]
                for _, event in sorted(faults.events.items())[-25:]),
            "error log:", log, "standard error:", standard_error])


def every_fault_once():
    """Acts after which each fault has been dealt."""
    return -(-len(DECK) // FAULTS_OF_AN_ACT)
