# SPDX-License-Identifier: Apache-2.0
"""Applications in one file: zipapp and PEX. What such a file holds is on the sys.path of the Python that
runs it; arbiterd's workers are other processes and get it by PYTHONPATH."""
import os
import sys
import sysconfig


def in_archive(path):
    """Whether the path leads through a file, as module paths inside a zip do."""
    while not os.path.exists(path) and os.path.dirname(path) != path:
        path = os.path.dirname(path)
    return os.path.isfile(path)


def is_bundled():
    """Whether this program runs from a bundle: Corn's package is in an archive, or was unpacked from
    one by PEX, which then says so."""
    return "PEX" in os.environ or in_archive(os.path.join(os.path.dirname(__file__), "no file"))


def directories_of_python():
    import site
    yield from (sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    yield from getattr(site, "getsitepackages", list)()
    yield from (os.path.join(prefix, "lib", f"python{sys.version_info[0]}{sys.version_info[1]}.zip")
                for prefix in (sys.base_prefix, sys.base_exec_prefix))


def own_path():
    """The entries of sys.path that are the bundle's: not Python's, nor PEX's own start-up code."""
    foreign = {os.path.normpath(path) for path in directories_of_python()}
    entries = []
    for entry in map(os.path.abspath, filter(None, sys.path)):
        inside = any(entry == path or entry.startswith(path + os.sep) for path in foreign)
        if not inside and os.path.basename(entry) != ".bootstrap" and entry not in entries:
            entries.append(entry)
    return entries


def environment():
    """Variables by which arbiterd's processes import from the bundle; none outside of one."""
    if not is_bundled():
        return {}
    inherited = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    return {"PYTHONPATH": os.pathsep.join(dict.fromkeys(own_path() + inherited))}
