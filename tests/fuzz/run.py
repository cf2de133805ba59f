#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the fuzz targets one after the other and gives an account of each: executions, and the lines of
Corn that its corpus reaches, file by file. Ends with status 1 if a target found something.
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run_target(program, seconds, build):
    """Fuzzes for so long; returns the exit status and how often the target was executed."""
    corpus = build / "corpus" / program.name  # seeds come from the build, every run adds to them
    corpus.mkdir(parents=True, exist_ok=True)
    profile = build / f"{program.name}.profraw"
    profile.unlink(missing_ok=True)
    log_path = build / f"{program.name}.log"
    with log_path.open("wb") as log:
        status = subprocess.run(
            [program, f"-max_total_time={seconds}", "-print_final_stats=1", "-timeout=20", corpus],
            cwd=build, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, check=False,
            env={**os.environ, "LLVM_PROFILE_FILE": str(profile)}).returncode
    log = log_path.read_text(encoding="utf-8", errors="replace")
    if status != 0:
        print(log[-6000:])
    executions = re.search(r"stat::number_of_executed_units:\s*(\d+)", log)
    return status, int(executions.group(1)) if executions else 0


def lines_reached(program, build):
    """[(file, reached, lines)] of the sources that the target has reached at all."""
    profile = build / f"{program.name}.profraw"
    data = build / f"{program.name}.profdata"
    subprocess.run(["llvm-profdata", "merge", "-sparse", profile, "-o", data], check=True)
    exported = subprocess.run(
        ["llvm-cov", "export", "-summary-only", f"-instr-profile={data}", program],
        check=True, capture_output=True).stdout
    files = []
    for file in json.loads(exported)["data"][0]["files"]:
        # Rooms include each other through links, see cmake/CornRoom.cmake.
        path = pathlib.Path(os.path.realpath(file["filename"]))
        if not path.is_relative_to(ROOT) or path.is_relative_to(ROOT / "tests"):
            continue
        lines = file["summary"]["lines"]
        if lines["covered"]:
            files.append((str(path.relative_to(ROOT)), lines["covered"], lines["count"]))
    return sorted(files)


def percent(reached, lines):
    return f"{100 * reached / lines:5.1f} %  {reached:5} of {lines:5}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=lambda path: pathlib.Path(path).resolve(), required=True, help="build/fuzz")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("targets", nargs="*", help="names such as http_head; all without any")
    arguments = parser.parse_args()
    programs = [arguments.build / "bin" / f"fuzz_{name}" for name in arguments.targets] or sorted(
        path for path in (arguments.build / "bin").glob("fuzz_*") if os.access(path, os.X_OK))
    if not programs:
        sys.exit("fuzz: no target was built")
    account, failed = [], []
    for program in programs:
        print(f"fuzzing {program.name} for {arguments.seconds} s", flush=True)
        status, executions = run_target(program, arguments.seconds, arguments.build)
        if status != 0:
            failed.append(program.name)
            continue
        files = lines_reached(program, arguments.build)
        reached, lines = (sum(file[index] for file in files) for index in (1, 2))
        for name, *counts in files:
            print(f"  {percent(*counts)}  {name}")
        account.append(f"{program.name:24} {executions:10}  {percent(reached, lines)}")
        print(account[-1], flush=True)
    print(f"\n{'target':24} {'executions':>10}  lines reached, in the files it reaches at all")
    print("\n".join(account))
    for name in failed:
        print(f"{name} FAILED: see {arguments.build / name}.log")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
