# SPDX-License-Identifier: Apache-2.0
"""Proves that the walls hold: a room can include its own headers and those of the rooms it may use,
and no other header of ours, whatever CMake was told. The table is docs/ARCHITECTURE.md's."""

import argparse
import pathlib
import subprocess
import sys
import tempfile

ROOM_OF_DIRECTORY = {
    "base": "base",
    "arbiterd/core": "core",
    "arbiterd/os": "os",
    "arbiterd/config": "config",
    "arbiterd/driver/door": "driver_door",
    "arbiterd/driver": "driver",
    "arbiterd/control": "control",
    "arbiterd/dbus": "dbus",
    "workerd/http": "http",
    "workerd/app": "app",
    "workerd/server": "server",
    "workerd/link": "link",
    "workerd/runtimes/python": "python",
    "workerd/runtimes/wsgi": "wsgi",
    "workerd/runtimes/asgi": "asgi",
    "workerd/runtimes/gevent": "gevent",
    "workerd/runtimes/native": "native",
    "workerd/process": "process",
    "ctl": "ctl",
    "stacks": "stacks",
}

MAY_INCLUDE = {
    "base": set(),
    "core": {"base"},
    "os": {"base"},
    "config": {"base", "core"},
    "driver": {"base", "core", "os", "config", "driver_door"},
    "driver_door": {"base", "core"},
    "control": {"base", "core", "driver_door"},
    "http": {"base"},
    "app": {"base", "http"},
    "server": {"base", "http", "app"},
    "link": {"base"},
    "python": {"base", "app", "http"},
    "wsgi": {"base", "app", "http", "python"},
    "asgi": {"base", "app", "http", "python"},
    "gevent": {"base", "app", "http", "python"},
    "process": {"base", "app", "http", "server", "link", "python", "wsgi", "asgi", "gevent"},
    "ctl": {"base"},
    "stacks": {"base"},
}


def headers_by_room(source):
    rooms = {}
    for directory, room in ROOM_OF_DIRECTORY.items():
        for header in sorted((source / directory).glob("*.h")):
            rooms.setdefault(room, []).append(f"{directory}/{header.name}")
    return rooms


def visible(compiler, include_path, headers):
    """Which of the headers a source with this include path can name."""
    program = "".join(f'#if __has_include("{header}")\nvisible {header}\n#endif\n'
                      for header in headers)
    command = [compiler, "-E", "-P", "-x", "c++", "-std=c++20",
               *(f"-I{directory}" for directory in include_path), "-"]
    # A quoted include looks beside the source first, so that must not be the repository.
    result = subprocess.run(command, input=program, capture_output=True, text=True, check=True,
                            cwd="/")
    return {line.split(" ", 1)[1].replace(" ", "") for line in result.stdout.splitlines()
            if line.startswith("visible ")}


def compiles(compiler, include_path, header):
    with tempfile.TemporaryDirectory() as directory:
        source = pathlib.Path(directory) / "probe.cc"
        source.write_text(f'#include "{header}"\n', encoding="utf-8")
        command = [compiler, "-E", "-std=c++20", "-o", "/dev/null",
                   *(f"-I{path}" for path in include_path), str(source)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compiler", required=True)
    parser.add_argument("--source", type=pathlib.Path, required=True)
    parser.add_argument("--room", nargs=2, action="append", metavar=("NAME", "INCLUDE_PATH"))
    options = parser.parse_args()

    by_room = headers_by_room(options.source)
    everything = [header for headers in by_room.values() for header in headers]
    room_of = {header: room for room, headers in by_room.items() for header in headers}
    failures = []
    for room, joined in options.room:
        # The system's directories are of no interest and may hold anything.
        include_path = [path for path in joined.split(":") if path and "/rooms/" in path]
        seen = visible(options.compiler, include_path, everything)
        allowed = MAY_INCLUDE[room] | {room}
        for header in sorted(seen):
            if room_of[header] not in allowed:
                failures.append(f"room {room} can include {header}, which its wall should hide")
        for header in by_room.get(room, []):
            if header not in seen:
                failures.append(f"room {room} can't include its own {header}")
        print(f"{room}: sees {', '.join(sorted({room_of[header] for header in seen}))}")

    # The same through a compiler's eyes, once each way.
    paths = {room: joined.split(":") for room, joined in options.room}
    forbidden, permitted = by_room["os"][0], by_room["core"][0]
    if compiles(options.compiler, paths["core"], forbidden):
        failures.append(f"a source of core that includes {forbidden} compiles")
    if not compiles(options.compiler, paths["core"], permitted):
        failures.append(f"a source of core that includes {permitted} does not compile")

    for failure in failures:
        print(f"FAILED: {failure}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
