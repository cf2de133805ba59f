# SPDX-License-Identifier: Apache-2.0
"""Scripts written for gunicorn, unmodified: python3 -m corn.compat SCRIPT [ARGUMENTS].

Corn's modules take the place of gunicorn's under their names. `corn.compat.install()` does that for a
program that calls it before it imports gunicorn.
"""
import builtins
import importlib
import importlib.machinery
import os
import runpy
import sys
import types

import corn
from corn import launcher

EXIT_USAGE = 2
USAGE = "usage: python3 -m corn.compat SCRIPT [ARGUMENTS]\n" \
        "       python3 -m corn.compat -m MODULE [ARGUMENTS]"
GUNICORN_VERSION = (26, 0, 0)  # the one Corn follows
MODULES = (".app", ".app.base", ".app.wsgiapp", ".arbiter", ".config", ".errors", ".glogging",
           ".util", ".workers", ".workers.base", ".workers.ggevent", ".workers.gthread",
           ".workers.sync")


def make_package():
    """`gunicorn`: Corn's package with gunicorn's version, which is what scripts ask for."""
    module = types.ModuleType("gunicorn", "Corn's modules under gunicorn's names.")
    module.__spec__ = importlib.machinery.ModuleSpec("gunicorn", None, is_package=True)
    module.__path__ = module.__spec__.submodule_search_locations = list(corn.__path__)
    module.__package__, module.__file__ = "gunicorn", corn.__file__
    module.version_info = GUNICORN_VERSION
    module.__version__ = ".".join(map(str, GUNICORN_VERSION))
    module.SERVER, module.SERVER_SOFTWARE = corn.SERVER, corn.SERVER_SOFTWARE
    return module


package = make_package()


def install():
    """`import gunicorn` gives Corn's package from now on, installed gunicorn or not."""
    sys.modules["gunicorn"] = package
    for name in MODULES:
        module = sys.modules["gunicorn" + name] = importlib.import_module("corn" + name)
        if name.count(".") == 1:
            setattr(package, name[1:], module)


def run_script(path):
    """Runs the file as `python3 FILE` would, as module __main__."""
    try:
        with open(path, "rb") as file:
            source = file.read()
    except OSError as error:
        launcher.fail(f"{path}: cannot be read: {error.strerror}", EXIT_USAGE)
    sys.path[0] = os.path.dirname(os.path.abspath(path))
    main_module = sys.modules["__main__"]
    namespace = main_module.__dict__
    namespace.clear()
    namespace.update(__name__="__main__", __file__=path, __builtins__=builtins, __doc__=None,
                     __package__=None, __spec__=None, __loader__=None, __cached__=None)
    exec(compile(source, path, "exec", dont_inherit=True), namespace)


def main():
    arguments = sys.argv[1:]
    by_module = arguments[:1] == ["-m"]
    if by_module:
        del arguments[0]
    if not arguments or arguments[0].startswith("-"):
        print(USAGE, file=sys.stderr)
        raise SystemExit(0 if arguments in (["-h"], ["--help"]) else EXIT_USAGE)
    install()
    sys.argv[:] = arguments
    if by_module:
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    else:
        run_script(arguments[0])


if __name__ == "__main__":
    # This copy of the module is about to be replaced by the script.
    importlib.import_module("corn.compat").main()
