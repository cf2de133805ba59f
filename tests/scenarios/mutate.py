#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the sources of the decision core anew, with rules that can be switched off one by one.

Each mutation replaces a piece of text that occurs exactly once in one source file of arbiterd/core
by a choice at run time between it and something wrong: `corn_mutant` is the number of the rule that is
off, 0 for none. mutations_test.cc shows that each rule, switched off, breaks the scenario named
beside it. A piece that is no longer there is an error: the mutation has to follow the rule.

Usage: mutate.py CORE_DIRECTORY OUTPUT_DIRECTORY
"""

import pathlib
import sys

VALUE = "value"          # an expression
STATEMENT = "statement"  # one or more whole statements
TEXT = "text"            # the replacement makes the choice itself, by the word MUTANT

# (rule, source file, kind, text, replacement, scenario that must break)
MUTATIONS = [
    ("a worker that was ready before it was called off drains", "pool_retire.cc", VALUE,
     "!worker.called_off || worker.kill_sent", "true",
     "late-ready-of-a-worker-called-off-drains"),
    ("a back-off grows", "backoff.cc", VALUE,
     "std::min(failures_, kDoublings)", "std::min(0U, kDoublings)",
     "crash-loop-backs-off-exponentially"),
    ("a round of failures counts once", "backoff.cc", STATEMENT,
     "if (last_failure_ && spawned_at <= *last_failure_) return;", "",
     "crash-loop-round-counts-once"),
    ("one worker probes after a failure", "backoff.cc", STATEMENT,
     "probing_ = true;", "",
     "crash-loop-probes-with-one-worker"),
    ("recovery forgets failures", "backoff.cc", STATEMENT,
     "failures_ = 0;", "",
     "crash-loop-recovery-starts-afresh"),
    ("deaths before ready or soon after it back off", "pool_deaths.cc", VALUE,
     "now - *worker.ready_at < kEarly", "false",
     "crash-soon-after-ready-backs-off"),
    ("a foreign SIGKILL causes no back-off", "pool_deaths.cc", VALUE,
     "is_foreign_kill(cause, status)", "false",
     "crash-by-foreign-kill-is-replaced-at-once-every-time"),
    ("the restart intensity degrades", "pool_deaths.cc", VALUE,
     "spec.restart_intensity > 0 && deaths_.size() >= spec.restart_intensity", "false",
     "crash-loop-restart-intensity-degrades"),
    ("the restart window forgets", "pool_deaths.cc", VALUE,
     "deaths_.front() + spec.restart_window <= now", "false",
     "crash-loop-restart-window-forgets"),
    ("a degraded pool backs off for every death", "pool_deaths.cc", VALUE,
     "!early && !degraded_", "!early",
     "crash-loop-degraded-backs-off-for-every-death"),
    ("failures in a row degrade", "pool_deaths.cc", VALUE,
     "backoff.failures() >= kFailuresToDegrade", "false",
     "crash-loop-backs-off-exponentially"),
    ("new workers that die early fail a reload", "pool_deaths.cc", VALUE,
     "++rollout_->early_deaths >= kEarlyDeathsToFail", "false",
     "reload-rolls-back-when-new-workers-die-early"),
    ("a new worker that can't boot fails the reload", "pool_deaths.cc", STATEMENT,
     "fail_rollout(text, turn);\n    return;", "",
     "reload-rolls-back-when-new-code-cannot-boot"),
    ("who waits for new workers is told that they fail", "waiters.cc", STATEMENT,
     "if (!waiter.wants_new) return false;", "return false;",
     "scale-up-whose-workers-cannot-boot-is-told"),
    ("a restart that fails leaves the old worker alone", "pool_deaths.cc", STATEMENT,
     "other.wish.reset();", "",
     "restart-that-fails-is-told"),
    ("the first failures of a boot wait for siblings", "pool_balance.cc", VALUE,
     "first_boot_failed_ || count(committed_, true).booting == 0", "true",
     "boot-failure-waits-for-siblings"),
    ("first workers try once before any is tried again", "pool_balance.cc", VALUE,
     "there.total() + first_failures_", "there.total()",
     "boot-failure-waits-for-siblings"),
    ("the gate: old workers wait for all of the new", "pool_balance.cc", VALUE,
     "surge() < target_ && fresh.ready > 0", "fresh.ready > 0",
     "reload-gate-nothing-old-retires-before-all-new-are-ready"),
    ("a commit needs the whole target", "pool_balance.cc", VALUE,
     "fresh.ready >= target_", "fresh.ready >= 1",
     "reload-gate-nothing-old-retires-before-all-new-are-ready"),
    ("with less surge, worker for worker", "pool_balance.cc", VALUE,
     "missing(std::max(target_, keep) + surge(), old.total() + fresh.total())", "kMaxWorkers",
     "reload-surge-one-goes-worker-for-worker"),
    ("old workers that die are replaced while the gate is shut", "pool_balance.cc", VALUE,
     "missing(floor, old.total() + fresh.ready)", "0U",
     "reload-old-worker-that-crashes-is-replaced-from-the-old-generation"),
    ("a new worker that serves counts for a dead old one", "pool_balance.cc", VALUE,
     "missing(floor, old.total() + fresh.ready)", "missing(floor, old.total())",
     "reload-old-crash-is-not-replaced-when-a-new-one-serves"),
    ("a smaller target on trial retires nobody", "pool_balance.cc", VALUE,
     "rollout_->target_from_settings ? rollout_->old_target : floor", "floor",
     "reload-changed-workers-setting-wins"),
    ("not all of a pool recycle at once", "pool_balance.cc", VALUE,
     "(target_ + 3) / 4", "target_",
     "max-requests-not-all-at-once"),
    ("the replacement is ready before a worker retires", "pool_balance.cc", TEXT,
     "ready > target_; --ready) {\n    if (Worker* leftover",
     "MUTANT ? ready >= target_ : ready > target_; --ready) {\n    if (Worker* leftover",
     "max-requests-replacement-comes-first"),
    ("the oldest retires first", "pool_balance.cc", VALUE,
     "ready ? worker.age : ~worker.age", "kMaxWorkers - worker.age",
     "ttou-retires-the-oldest"),
    ("of those that boot, the youngest retires first", "pool_balance.cc", VALUE,
     "~worker.age", "worker.age",
     "ttin-and-ttou-while-starting"),
    ("exclusive: the old one ends first", "pool_balance.cc", VALUE,
     "static_cast<std::uint32_t>(workers_.size())",
     "count(wanted(), true).total() + count(wanted(), false).total()",
     "exclusive-recycling-drains-first"),
    ("an operator's restart goes first", "pool_commands.cc", STATEMENT,
     "worker.wish_order = 0;", "",
     "restart-goes-before-other-wishes"),
    ("a scale waits for the retired to end", "pool_commands.cc", STATEMENT,
     "std::erase_if(leaving, [this](WorkerId worker_id) { return find(worker_id)->staying(); });",
     "leaving.clear();",
     "scale-down-replies-when-retired-ones-have-exited"),
    ("a scale during a reload outlives it", "pool_commands.cc", STATEMENT,
     "rollout_->target_from_settings = false;", "",
     "reload-scale-outlives-a-failed-reload"),
    ("a failed reload restores the target", "pool_rollout.cc", STATEMENT,
     "target_ = ended.target_before;", "",
     "reload-failed-restores-the-target"),
    ("a scaled target survives a reload", "pool_rollout.cc", VALUE,
     "committed_ == 0 || spec.workers != spec_->workers", "true",
     "reload-scaled-target-survives"),
    ("an added pool that can't boot is dropped", "pool_rollout.cc", STATEMENT,
     "if (committed_ == 0) remove(\"the pool was to be added, but a worker failed\", turn);", "",
     "reload-adds-a-pool-that-cannot-boot"),
    ("a later reload abandons the one on trial", "pool_rollout.cc", STATEMENT,
     "if (rollout_) abandon_rollout(\"overtaken by a later reload\", turn);", "",
     "reload-during-reload-supersedes"),
    ("settings are read again for a later reload", "reloads.cc", STATEMENT,
     "if (!queued_) return false;", "queued_.reset();\n  return false;",
     "reload-asked-while-settings-are-read-reads-them-again"),
    ("a failed reload removes no pool", "reloads.cc", VALUE,
     "!ended.failures.empty()", "false",
     "reload-that-fails-removes-nothing"),
    ("a silent worker is put down", "watch.cc", VALUE,
     "silence >= spec.timeout", "false",
     "timeout-silent-worker-is-dumped-and-replaced"),
    ("inspections coalesce", "watch.cc", VALUE,
     "*worker.inspection_at - shortest_interval(worker) / 4 <= now", "*worker.inspection_at <= now",
     "timeout-inspections-coalesce"),
    ("a beat from the future counts as now", "watch.cc", VALUE,
     "std::min(seen.beat, now)", "seen.beat",
     "timeout-future-beat-is-cut"),
    ("a request over its limit is put down", "watch.cc", VALUE,
     "now - *worker.request_start >= spec.request_timeout", "false",
     "request-timeout-kills-the-worker"),
    ("memory over its limit recycles", "watch.cc", VALUE,
     "limit == 0 || seen.rss < limit", "true",
     "max-memory-recycles"),
    ("lifetimes are jittered", "pool.cc", VALUE,
     "lifetime - jitter_.up_to(lifetime / 10)", "lifetime",
     "max-lifetime-is-jittered"),
    ("what is dumped is killed", "pool_retire.cc", STATEMENT,
     "worker.kill_at = std::min(earlier, turn.now() + kAbortGrace);", "worker.kill_at.reset();",
     "timeout-silent-worker-is-dumped-and-replaced"),
    ("a drain is bounded", "pool_retire.cc", STATEMENT,
     "worker.kill_at = turn.now() + grace + kDrainMargin;", "",
     "shutdown-graceful-is-bounded"),
    ("a boot is bounded", "pool_retire.cc", STATEMENT,
     "put_down(worker, KillSignal::kAbort, Cause::kBootTimeout, reason, turn);", "",
     "boot-timeout-of-the-first-workers-exits-3"),
    ("who drains already learns that nobody is left", "pool_retire.cc", STATEMENT,
     "turn.order(DrainWorker{worker.id, grace, true, *worker.end_cause});", "",
     "shutdown-while-old-workers-finish"),
    ("going to sleep empties the accept queue", "pool_retire.cc", TEXT,
     "\"dormant (WINCH)\", turn, true);", "\"dormant (WINCH)\", turn, !MUTANT);",
     "shutdown-while-dormant"),
    ("removing a pool empties its accept queue", "pool_retire.cc", TEXT,
     "Cause::kReloaded, reason, turn, true);", "Cause::kReloaded, reason, turn, !MUTANT);",
     "reload-removes-a-pool"),
    ("shutdown empties the accept queue", "pool_retire.cc", TEXT,
     "\"shutdown\", true, turn);", "\"shutdown\", !MUTANT, turn);",
     "shutdown-graceful-while-serving"),
    ("booting workers are called off at shutdown", "pool_retire.cc", VALUE,
     "worker.state == WorkerState::kBooting", "false",
     "shutdown-puts-booting-workers-down"),
    ("quick overtakes graceful", "supervisor.cc", VALUE,
     "stopping_ && (quick_ || !quick)", "stopping_",
     "shutdown-escalates-from-graceful-to-quick"),
    ("one pool's failed boot doesn't stop another", "supervisor.cc", STATEMENT,
     "if (pool->could_not_boot()) pool->go_on_degraded(turn);", "stop(true, {}, turn);",
     "boot-failure-of-one-pool-leaves-the-other-serving"),
    ("a scaled target is passed on", "pool_succession.cc", VALUE,
     "spec && spec->workers != left.configured", "spec.has_value()",
     "succession-upgrade-keeps-workers-and-reloads"),
    ("a successor replaces what asked for it", "pool_succession.cc", STATEMENT,
     "worker.wish = left.wish;", "",
     "succession-adoption-supervises-what-is-left"),
    ("a successor uses no worker id again", "succession.cc", STATEMENT,
     "pools_.ids().start_after(event.inheritance.last_worker);", "",
     "succession-adoption-supervises-what-is-left"),
    ("a reload given up for an upgrade is begun anew", "succession.cc", VALUE,
     "event.inheritance.reloading", "false",
     "succession-of-a-dormant-pool-stays-dormant"),
    ("one upgrade at a time", "succession.cc", STATEMENT,
     "refuse(id, ReplyCode::kFailedPrecondition, {}, \"an upgrade is being prepared already\", turn);\n    return;", "",
     "succession-upgrade-that-cannot-be"),
    ("what a dead arbiter drained is bounded", "pool_succession.cc", STATEMENT,
     "worker.kill_at = now + worker.spec->graceful_timeout + kInheritedGrace;", "",
     "succession-adoption-bounds-what-drains"),
    ("commands are refused while stopping", "commands.cc", VALUE,
     "stopping_ && !is_shutdown && !is_reopen", "false",
     "shutdown-answers-who-waits"),
    ("targets stay in range", "commands.cc", VALUE,
     "after < 1 || after > kMost", "after < 1",
     "scale-out-of-range-is-refused"),
    ("fewer don't wake a dormant pool", "commands.cc", VALUE,
     "!command.relative || command.amount > 0", "true",
     "winch-then-fewer-stays-dormant"),
    ("a scale that is taken back is told", "waiters.cc", VALUE,
     "waiter.after <= target", "true",
     "scale-overtaken-by-less-is-aborted"),
    ("no worker comes back once told to go", "worker_fsm.cc", TEXT,
     "    case WorkerState::kStopping:\n      return std::nullopt;",
     "    case WorkerState::kStopping:\n"
     "      if (MUTANT && fact == WorkerFact::kBecameReady) return WorkerState::kReady;\n"
     "      return std::nullopt;",
     "late-ready-of-a-worker-put-down"),
    ("a crash while draining is a crash", "worker_fsm.cc", VALUE,
     "foreign_signal ? Cause::kCrashed : worker.end_cause.value_or(Cause::kExited)",
     "worker.end_cause.value_or(Cause::kExited)",
     "shutdown-crash-of-a-draining-worker"),
    ("out of memory is told from a foreign kill", "worker_fsm.cc", STATEMENT,
     "return Cause::kOutOfMemory;", "return Cause::kCrashed;",
     "crash-out-of-memory-is-told-from-a-foreign-kill"),
]


def chosen(number, kind, text, replacement):
    off = f"(corn_mutant == {number})"
    if kind == VALUE:
        return f"({off} ? ({replacement}) : ({text}))"
    if kind == STATEMENT:
        return f"{{ if {off} {{ {replacement} }} else {{ {text} }} }}"
    return replacement.replace("MUTANT", off)


def main():
    core, output = map(pathlib.Path, sys.argv[1:])
    output.mkdir(parents=True, exist_ok=True)
    originals = {path.name: path.read_text() for path in core.glob("*.cc")}
    sources = dict(originals)
    rules = []
    for number, (rule, name, kind, text, replacement, scenario) in enumerate(MUTATIONS, 1):
        if originals[name].count(text) != 1 or sources[name].count(text) != 1:
            sys.exit(f"mutate.py: {rule}: in {core / name} this must occur exactly once:\n{text}")
        sources[name] = sources[name].replace(text, chosen(number, kind, text, replacement))
        rules.append(f'    {{{number}, "{rule}", "{scenario}"}},\n')
    for name, source in sources.items():
        (output / name).write_text("extern int corn_mutant;\n" + source)
    (output / "mutations.inc").write_text("".join(rules))


if __name__ == "__main__":
    main()
