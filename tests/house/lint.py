# SPDX-License-Identifier: Apache-2.0
"""What `./dev lint` and `./dev fmt` do.

Every check prints FILE:LINE: MESSAGE and goes on; the exit status tells whether any complained.
clang-tidy takes seconds a file, so it looks at the files that differ from the main branch and
at the rooms whose rules matter most; `--all` makes it look at everything.
"""

import argparse
import ast
import concurrent.futures
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCE_DIRECTORIES = ("base", "arbiterd", "workerd", "ctl", "stacks", "include", "bench", "tests",
                      "examples", "python")
CPP_SUFFIXES = {".cc", ".h", ".c"}
# Rooms that clang-tidy always reads: pure, quick to parse, and what everything else stands on.
ALWAYS_TIDY = ("base/", "arbiterd/core/", "workerd/http/", "workerd/link/")

MAX_LINES = 500
# Files that may be longer, and why splitting them would make them worse.
LONG_FILES: dict[str, str] = {}

SPDX = "SPDX-License-Identifier: Apache-2.0"
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
RELATIVE_INCLUDE = re.compile(r'^\s*#\s*include\s+"\.\.?/')
NAKED_NEW = re.compile(r"(?<![\w.])(?:new\s+[A-Za-z_:]+\s*[({\[]|delete\s+[a-z_]+\s*;)")
STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
# Placement, and the one way to make an object whose constructor is private.
ALLOWED_NEW = re.compile(r"\bnew\s*\(|(unique|shared)_ptr<")


def tracked_files():
    """Files that belong to the project: known to git, or new and not ignored."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return sorted({ROOT / name for name in listing.split("\0") if name and (ROOT / name).is_file()})


def is_script(path, interpreter):
    if path.suffix:
        return False
    with path.open("rb") as stream:
        first = stream.readline(200)
    return first.startswith(b"#!") and interpreter in first


class Complaints:
    def __init__(self):
        self.count = 0

    def add(self, path, line, message):
        print(f"{path.relative_to(ROOT)}:{line}: {message}")
        self.count += 1

    def add_output(self, text):
        print(text.rstrip())
        self.count += 1


def check_walls(files, complaints):
    """Rules about the text of sources that no compiler checks."""
    for path in files:
        is_source = path.suffix in CPP_SUFFIXES | {".py", ".cmake", ".proto", ".sh"} or \
            path.name == "CMakeLists.txt" or is_script(path, b"bash")
        if not is_source:
            continue
        relative = str(path.relative_to(ROOT))
        lines = path.read_text(encoding="utf-8").splitlines()
        if lines and not any(SPDX in line for line in lines[:3]):
            complaints.add(path, 1, f"the line '{SPDX}' is missing from the head of the file")
        if len(lines) > MAX_LINES and relative not in LONG_FILES:
            complaints.add(path, len(lines), f"{len(lines)} lines: a file has one subject and at "
                           f"most {MAX_LINES} lines; split it, or give the reason in LONG_FILES")
        if path.suffix in CPP_SUFFIXES:
            check_cpp_text(path, lines, complaints)
        if path == pathlib.Path(__file__).resolve():
            continue
        for number, line in enumerate(lines, 1):
            if UNFINISHED.search(line):
                complaints.add(path, number, "unfinished work doesn't belong in the tree")


def check_cpp_text(path, lines, complaints):
    if path.suffix == ".h" and not any(line.startswith("#pragma once") for line in lines):
        complaints.add(path, 1, "a header starts with #pragma once")
    for number, line in enumerate(lines, 1):
        if RELATIVE_INCLUDE.match(line):
            complaints.add(path, number, "include by the path from the root: \"room/header.h\"")
        code = STRING.sub('""', line).split("//", 1)[0]
        above = lines[number - 2] if number > 1 else ""
        if NAKED_NEW.search(code) and not ALLOWED_NEW.search(above + code):
            complaints.add(path, number, "no naked new or delete: use values or std::unique_ptr")


def check_python(files, complaints):
    for path in files:
        if path.suffix != ".py":
            continue
        relative = path.relative_to(ROOT)
        if relative.parts[:2] == ("tests", "apps"):
            continue  # some are broken on purpose
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(relative))
        except SyntaxError as error:
            complaints.add(path, error.lineno or 1, f"syntax error: {error.msg}")
            continue
        check_unused_imports(path, tree, complaints)


def check_unused_imports(path, tree, complaints):
    if path.name == "__init__.py":
        return
    imported = {}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                imported[(alias.asname or alias.name).split(".")[0]] = node.lineno
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    exported = {item.value for node in ast.walk(tree) if isinstance(node, ast.Assign)
                for target in node.targets if getattr(target, "id", "") == "__all__"
                for item in ast.walk(node.value) if isinstance(item, ast.Constant)}
    for name, line in imported.items():
        if name not in used and name not in exported and name != "annotations":
            complaints.add(path, line, f"'{name}' is imported but not used")


def run_tool(command, complaints):
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        complaints.add_output(result.stdout + result.stderr)


def check_format(cpp_files, complaints):
    for start in range(0, len(cpp_files), 50):
        run_tool(["clang-format", "--dry-run", "-Werror", *map(str, cpp_files[start:start + 50])],
                 complaints)


def changed_files():
    """Files that differ from the main branch, or from the last commit where that is main."""
    for base in ("origin/main", "main"):
        merge_base = subprocess.run(["git", "merge-base", "HEAD", base], cwd=ROOT,
                                    capture_output=True, text=True, check=False)
        if merge_base.returncode == 0:
            names = subprocess.run(["git", "diff", "--name-only", merge_base.stdout.strip()],
                                   cwd=ROOT, capture_output=True, text=True, check=False)
            return set(names.stdout.splitlines())
    return set()


def check_tidy(cpp_files, build, jobs, everything, complaints):
    changed = changed_files()
    database = (build / "compile_commands.json").read_text(encoding="utf-8")
    chosen = []
    for path in cpp_files:
        relative = str(path.relative_to(ROOT))
        if path.suffix != ".cc" or f'"{path}"' not in database:
            continue
        if everything or relative in changed or relative.startswith(ALWAYS_TIDY):
            chosen.append(path)

    def tidy(path):
        return subprocess.run(["clang-tidy", "--quiet", "-p", str(build), str(path)],
                              cwd=ROOT, capture_output=True, text=True, check=False)

    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for result in pool.map(tidy, chosen):
            if result.returncode != 0:
                complaints.add_output(result.stdout + result.stderr)
    return len(chosen)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=pathlib.Path, help="a configured build directory")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--all", action="store_true", help="clang-tidy on every file")
    parser.add_argument("--format", action="store_true", help="format the sources and stop")
    options = parser.parse_args()

    files = tracked_files()
    cpp_files = [path for path in files if path.suffix in CPP_SUFFIXES
                 and path.relative_to(ROOT).parts[0] in SOURCE_DIRECTORIES]
    if options.format:
        for start in range(0, len(cpp_files), 50):
            subprocess.run(["clang-format", "-i", *map(str, cpp_files[start:start + 50])],
                           cwd=ROOT, check=True)
        return 0

    complaints = Complaints()

    def step(name, function, *arguments):
        before = complaints.count
        result = function(*arguments)
        ending = "ok" if complaints.count == before else f"{complaints.count - before} complaints"
        detail = f" ({result} files)" if isinstance(result, int) else ""
        print(f"lint: {name}: {ending}{detail}", flush=True)

    step("walls", check_walls, files, complaints)
    step("format", check_format, cpp_files, complaints)
    step("python", check_python, files, complaints)
    scripts = [str(path) for path in files if path.suffix == ".sh" or is_script(path, b"bash")]
    step("shell", run_tool, ["shellcheck", *scripts], complaints)
    manuals = [str(path) for path in files if re.fullmatch(r"\.[1-8]", path.suffix)]
    if manuals:
        step("manuals", run_tool, ["mandoc", "-Tlint", "-Wwarning", *manuals], complaints)
    if options.build:
        step("clang-tidy", check_tidy, cpp_files, options.build.resolve(), options.jobs,
             options.all, complaints)
    return 1 if complaints.count else 0


if __name__ == "__main__":
    sys.exit(main())
