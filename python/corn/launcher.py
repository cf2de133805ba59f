# SPDX-License-Identifier: Apache-2.0
"""From Python to arbiterd: finding the program and becoming it."""
import os
import shutil
import signal
import sys

from corn import bundle

EXIT_IN_THE_WAY = 1
SYSTEM_PLACE = "/usr/sbin/arbiterd"


def fail(message, status=EXIT_IN_THE_WAY):
    """Ends this process with a sentence for the operator."""
    print(f"corn: {message}", file=sys.stderr)
    raise SystemExit(status)


def is_program(path):
    return os.path.isfile(path) and os.access(path, os.X_OK)


def places_of_arbiterd():
    package = os.path.dirname(os.path.abspath(__file__))
    yield os.path.normpath(os.path.join(package, "..", "..", "bin", "arbiterd"))  # a build tree
    found = shutil.which("arbiterd")
    if found:
        yield os.path.abspath(found)
    yield SYSTEM_PLACE


def find_arbiterd():
    """arbiterd's path. SystemExit, with a sentence, when it is nowhere."""
    places = list(dict.fromkeys(places_of_arbiterd()))
    for path in places:
        if is_program(path):
            return path
    return fail(f"arbiterd is not found; looked at {', '.join(places)} and on PATH. "
                "Install Corn, or put the directory of arbiterd on PATH")


def environment_for_arbiterd():
    """This process's variables, the virtual environment that its interpreter belongs to, and the way
    into the bundle that it runs from."""
    environment = dict(os.environ)
    environment.update(bundle.environment())
    if sys.prefix != sys.base_prefix:
        environment.setdefault("VIRTUAL_ENV", sys.prefix)
    return environment


def flush():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            pass  # none, or closed: nothing waits in it


def restore_signals():
    """What Python ignores for itself, and exec would pass on."""
    for name in ("SIGPIPE", "SIGXFSZ"):
        signal.signal(getattr(signal, name), signal.SIG_DFL)


def become(program, arguments, environment):
    """Replaces this process by arbiterd; OSError when that isn't possible."""
    flush()
    restore_signals()
    os.execve(program, [program, *arguments], environment)


def run_arbiterd(arguments):
    """Becomes arbiterd, with these arguments. SystemExit when that isn't possible."""
    program = find_arbiterd()
    try:
        become(program, arguments, environment_for_arbiterd())
    except OSError as error:
        fail(f"{program} cannot be run: {error.strerror}")
