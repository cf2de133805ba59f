#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that each rule of the decision core is guarded: switched off, it breaks a named scenario.

A mutation replaces a piece of text that occurs exactly once in one source file of arbiterd/core. The
core is compiled with it, and the scenario named beside it must fail. A piece that is no longer
there fails the check too: the mutation has to follow the rule.
"""

import argparse
import concurrent.futures
import os
import pathlib
import subprocess
import sys
import tempfile

# (rule, source file, text, replacement, scenario that must break)
MUTATIONS = [
    ("a back-off grows", "backoff.cc",
     "std::min(failures_, kDoublings)", "std::min(0U, kDoublings)",
     "crash-loop-backs-off-exponentially"),
    ("a round of failures counts once", "backoff.cc",
     "if (last_failure_ && spawned_at <= *last_failure_) return;", "",
     "crash-loop-round-counts-once"),
    ("one worker probes after a failure", "backoff.cc",
     "probing_ = true;", "probing_ = false;",
     "crash-loop-probes-with-one-worker"),
    ("recovery forgets failures", "backoff.cc",
     "  failures_ = 0;\n", "",
     "crash-loop-recovery-starts-afresh"),
    ("deaths before ready or soon after it back off", "pool_deaths.cc",
     "now - *worker.ready_at < kEarly", "false",
     "crash-soon-after-ready-backs-off"),
    ("a foreign SIGKILL causes no back-off", "pool_deaths.cc",
     "const bool foreign_kill = is_foreign_kill(cause, status);", "const bool foreign_kill = false;",
     "crash-by-foreign-kill-is-replaced-at-once-every-time"),
    ("the restart intensity degrades", "pool_deaths.cc",
     "spec.restart_intensity > 0 && deaths_.size() >= spec.restart_intensity", "false",
     "crash-loop-restart-intensity-degrades"),
    ("the restart window forgets", "pool_deaths.cc",
     "deaths_.front() + spec.restart_window <= now", "false",
     "crash-loop-restart-window-forgets"),
    ("a degraded pool backs off for every death", "pool_deaths.cc",
     "if (!early && !degraded_) return;", "if (!early) return;",
     "crash-loop-degraded-backs-off-for-every-death"),
    ("failures in a row degrade", "pool_deaths.cc",
     "backoff.failures() >= kFailuresToDegrade", "false",
     "crash-loop-backs-off-exponentially"),
    ("new workers that die early fail a reload", "pool_deaths.cc",
     "++rollout_->early_deaths >= kEarlyDeathsToFail", "false",
     "reload-rolls-back-when-new-workers-die-early"),
    ("a new worker that can't boot fails the reload", "pool_deaths.cc",
     "    fail_rollout(text, turn);\n    return;\n", "",
     "reload-rolls-back-when-new-code-cannot-boot"),
    ("who waits for new workers is told that they fail", "pool_deaths.cc",
     "waiters_.new_workers_failed(", "if (false) waiters_.new_workers_failed(",
     "scale-up-whose-workers-cannot-boot-is-told"),
    ("a restart that fails leaves the old worker alone", "pool_deaths.cc",
     "other.wish.reset();", "",
     "restart-that-fails-is-told"),
    ("the first failures of a boot wait for siblings", "pool_balance.cc",
     "first_boot_failed_ || count(committed_, true).booting == 0", "true",
     "boot-failure-waits-for-siblings"),
    ("first workers try once before any is tried again", "pool_balance.cc",
     "there.total() + first_failures_)", "there.total())",
     "boot-failure-waits-for-siblings"),
    ("the gate: old workers wait for all of the new", "pool_balance.cc",
     "if (surge() < target_ && fresh.ready > 0) {", "if (fresh.ready > 0) {",
     "reload-gate-nothing-old-retires-before-all-new-are-ready"),
    ("a commit needs the whole target", "pool_balance.cc",
     "if (fresh.ready >= target_) commit_rollout(turn);",
     "if (fresh.ready >= 1) commit_rollout(turn);",
     "reload-gate-nothing-old-retires-before-all-new-are-ready"),
    ("with less surge, worker for worker", "pool_balance.cc",
     "missing(std::max(target_, keep) + surge(), old.total() + fresh.total());", "kMaxWorkers;",
     "reload-surge-one-goes-worker-for-worker"),
    ("old workers that die are replaced while the gate is shut", "pool_balance.cc",
     "spawnable(committed_, missing(floor, old.total() + fresh.ready), turn.now())", "0",
     "reload-old-worker-that-crashes-is-replaced-from-the-old-generation"),
    ("a new worker that serves counts for a dead old one", "pool_balance.cc",
     "missing(floor, old.total() + fresh.ready)", "missing(floor, old.total())",
     "reload-old-crash-is-not-replaced-when-a-new-one-serves"),
    ("a smaller target on trial retires nobody", "pool_balance.cc",
     "rollout_->target_from_settings ? rollout_->old_target : floor", "floor",
     "reload-changed-workers-setting-wins"),
    ("not all of a pool recycle at once", "pool_balance.cc",
     "return (target_ + 3) / 4;", "return target_;",
     "max-requests-not-all-at-once"),
    ("the replacement is ready before a worker retires", "pool_balance.cc",
     "for (std::uint32_t ready = count_ready(); ready > target_; --ready) {\n"
     "    if (Worker* leftover",
     "for (std::uint32_t ready = count_ready(); ready >= target_; --ready) {\n"
     "    if (Worker* leftover",
     "max-requests-replacement-comes-first"),
    ("the oldest retires first", "pool_balance.cc",
     "!worker.wish.has_value(), worker.age);", "!worker.wish.has_value(), -worker.age);",
     "ttou-retires-the-oldest"),
    ("exclusive: the old one ends first", "pool_balance.cc",
     "const auto there = static_cast<std::uint32_t>(workers_.size());",
     "const auto there = count(wanted(), true).total() + count(wanted(), false).total();",
     "exclusive-recycling-drains-first"),
    ("an operator's restart goes first", "pool_commands.cc",
     "worker.wish_order = 0;", "",
     "restart-goes-before-other-wishes"),
    ("a scale waits for the retired to end", "pool_commands.cc",
     "std::erase_if(leaving, [this](WorkerId worker_id) { return find(worker_id)->staying(); });",
     "leaving.clear();",
     "scale-down-replies-when-retired-ones-have-exited"),
    ("a scale during a reload outlives it", "pool_commands.cc",
     "rollout_->target_from_settings = false;", "",
     "reload-scale-outlives-a-failed-reload"),
    ("a failed reload restores the target", "pool_rollout.cc",
     "    target_ = ended.target_before;\n", "",
     "reload-failed-restores-the-target"),
    ("a scaled target survives a reload", "pool_rollout.cc",
     "if (committed_ == 0 || spec.workers != spec_->workers) {", "if (true) {",
     "reload-scaled-target-survives"),
    ("an added pool that can't boot is dropped", "pool_rollout.cc",
     "if (committed_ == 0) remove(\"the pool was to be added", "if (false) remove(\"the pool was to be added",
     "reload-adds-a-pool-that-cannot-boot"),
    ("a later reload abandons the one on trial", "pool_rollout.cc",
     "if (rollout_) abandon_rollout(\"overtaken by a later reload\", turn);", "",
     "reload-during-reload-supersedes"),
    ("settings are read again for a later reload", "reloads.cc",
     "if (!queued_) return false;", "queued_.reset();\n  return false;",
     "reload-asked-while-settings-are-read-reads-them-again"),
    ("a failed reload removes no pool", "reloads.cc",
     "if (!ended.failures.empty()) {", "if (false) {",
     "reload-that-fails-removes-nothing"),
    ("a silent worker is put down", "watch.cc",
     "silence >= spec.timeout", "false",
     "timeout-silent-worker-is-dumped-and-replaced"),
    ("inspections coalesce", "watch.cc",
     "*worker.inspection_at - shortest_interval(worker) / 4 <= now", "*worker.inspection_at <= now",
     "timeout-inspections-coalesce"),
    ("a beat from the future counts as now", "watch.cc",
     "std::min(seen.beat, now)", "seen.beat",
     "timeout-future-beat-is-cut"),
    ("a request over its limit is put down", "watch.cc",
     "now - *worker.request_start >= spec.request_timeout", "false",
     "request-timeout-kills-the-worker"),
    ("memory over its limit recycles", "watch.cc",
     "limit == 0 || seen.rss < limit", "true",
     "max-memory-recycles"),
    ("lifetimes are jittered", "pool.cc",
     "lifetime - jitter_.up_to(lifetime / 10)", "lifetime",
     "max-lifetime-is-jittered"),
    ("what is dumped is killed", "pool_retire.cc",
     "worker.kill_at = std::min(earlier, turn.now() + kAbortGrace);", "worker.kill_at.reset();",
     "timeout-silent-worker-is-dumped-and-replaced"),
    ("a drain is bounded", "pool_retire.cc",
     "worker.kill_at = turn.now() + grace + kDrainMargin;", "",
     "shutdown-graceful-is-bounded"),
    ("a boot is bounded", "pool_retire.cc",
     "put_down(worker, KillSignal::kAbort, Cause::kBootTimeout, reason, turn);", "",
     "boot-timeout-of-the-first-workers-exits-3"),
    ("shutdown empties the accept queue", "pool_retire.cc",
     "drain(worker, Cause::kShutdown, \"shutdown\", true, turn);",
     "drain(worker, Cause::kShutdown, \"shutdown\", false, turn);",
     "shutdown-graceful-while-serving"),
    ("booting workers are put down at shutdown", "pool_retire.cc",
     "worker.state == WorkerState::kBooting || quick", "quick",
     "shutdown-puts-booting-workers-down"),
    ("quick overtakes graceful", "supervisor.cc",
     "if (stopping_ && (quick_ || !quick)) return;", "if (stopping_) return;",
     "shutdown-escalates-from-graceful-to-quick"),
    ("one pool's failed boot doesn't stop another", "supervisor.cc",
     "if (!std::ranges::all_of(pools, &Pool::could_not_boot)) {", "if (false) {",
     "boot-failure-of-one-pool-leaves-the-other-serving"),
    ("commands are refused while stopping", "commands.cc",
     "(stopping_ && !is_shutdown && !is_reopen)", "false",
     "shutdown-answers-who-waits"),
    ("targets stay in range", "commands.cc",
     "if (after < 1 || after > kMost) return std::nullopt;", "",
     "scale-out-of-range-is-refused"),
    ("fewer don't wake a dormant pool", "commands.cc",
     "!command.relative || command.amount > 0, turn);", "true, turn);",
     "winch-then-fewer-stays-dormant"),
    ("a scale that is taken back is told", "waiters.cc",
     "waiter.after <= target) return false;", "true) return false;",
     "scale-overtaken-by-less-is-aborted"),
    ("no worker comes back once told to go", "worker_fsm.cc",
     "    case WorkerState::kStopping:\n      return std::nullopt;",
     "    case WorkerState::kStopping:\n      return WorkerState::kReady;",
     "late-ready-of-a-worker-put-down"),
    ("a crash while draining is a crash", "worker_fsm.cc",
     "return foreign_signal ? Cause::kCrashed :", "return",
     "shutdown-crash-of-a-draining-worker"),
    ("out of memory is told from a foreign kill", "worker_fsm.cc",
     "return Cause::kOutOfMemory;", "return Cause::kCrashed;",
     "crash-out-of-memory-is-told-from-a-foreign-kill"),
]


class Builder:
    def __init__(self, root, compiler, directory):
        self.root = root
        self.compile = [*compiler, "-std=c++20", "-O0", "-D_GNU_SOURCE", f"-I{root}", "-c"]
        self.link = [compiler[-1]]
        self.directory = directory
        self.objects = {}

    def run(self, command):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(done.stderr[:2000])

    def object_of(self, source, name):
        target = self.directory / f"{name}.o"
        self.run([*self.compile, str(source), "-o", str(target)])
        return target

    def build_whole(self, workers):
        sources = sorted((self.root / "arbiterd/core").glob("*.cc"))
        scenarios = self.root / "tests/scenarios"
        sources += [scenarios / name for name in ("interpreter.cc", "print.cc", "check_main.cc")]
        objects = workers.map(lambda source: self.object_of(source, source.stem), sources)
        self.objects = dict(zip((source.name for source in sources), objects))
        return self.program("whole", self.objects)

    def program(self, name, objects):
        target = self.directory / name
        self.run([*self.link, *map(str, objects.values()), "-lfmt", "-o", str(target)])
        return target


def holds(program, scenario):
    done = subprocess.run([str(program), str(scenario)], capture_output=True, check=False, timeout=20)
    return done.returncode == 0


def check(builder, number, mutation):
    """An error, or none if the scenario breaks as it should."""
    rule, file, text, replacement, name = mutation
    scenario = builder.root / "tests/scenarios" / f"{name}.txt"
    source = (builder.root / "arbiterd/core" / file).read_text()
    if source.count(text) != 1:
        return f"{rule}: {file} has the mutated text {source.count(text)} times, not once: {text}"
    if not scenario.exists():
        return f"{rule}: no scenario {name}"
    mutant = builder.directory / f"mutant{number}.cc"
    mutant.write_text(source.replace(text, replacement))
    try:
        changed = {file: builder.object_of(mutant, f"mutant{number}")}
        program = builder.program(f"mutant{number}", {**builder.objects, **changed})
        survived = holds(program, scenario)
        program.unlink()
    except RuntimeError as error:
        return f"{rule}: the mutant doesn't compile: {error}"
    except subprocess.TimeoutExpired:
        survived = False  # it broke by never ending
    return f"{rule}: switched off, scenario {name} still holds" if survived else None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--compiler", nargs="+", default=["c++"], help="the last word links, too")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("rules", nargs="*", help="only rules that contain one of these words")
    arguments = parser.parse_args()
    wanted = [mutation for mutation in MUTATIONS
              if not arguments.rules or any(word in mutation[0] for word in arguments.rules)]

    root = pathlib.Path(__file__).resolve().parents[2]
    with tempfile.TemporaryDirectory() as directory, \
            concurrent.futures.ThreadPoolExecutor(arguments.jobs) as workers:
        builder = Builder(root, arguments.compiler, pathlib.Path(directory))
        whole = builder.build_whole(workers)
        broken = [name for name in {mutation[4] for mutation in wanted}
                  if not holds(whole, root / "tests/scenarios" / f"{name}.txt")]
        if broken:
            sys.exit("these scenarios don't hold without any mutation: " + ", ".join(broken))
        errors = list(filter(None, workers.map(
            lambda item: check(builder, *item), enumerate(wanted))))
    for error in errors:
        print(error)
    print(f"{len(wanted) - len(errors)} of {len(wanted)} rules are guarded")
    sys.exit(1 if errors else 0)


if __name__ == "__main__":
    main()
