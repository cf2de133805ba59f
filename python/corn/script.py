# SPDX-License-Identifier: Apache-2.0
"""BaseApplication.run(): the process becomes the arbiter and keeps its pid, while a copy of it, the
script process, keeps the Python state that workers are forked from.

    script, pid 100                     arbiterd, pid 100 (execve)
        |  fork                             |  channel, CORN_SCRIPT_FD
        +------------------------------> script process: obeys, and at the end leaves run()
"""
import importlib
import importlib.machinery
import importlib.util
import os
import signal
import socket
import sys
import sysconfig
import threading

from corn import __version__, inherited, launcher

CHANNEL_VARIABLE = "CORN_SCRIPT_FD"
NAME_VARIABLE = "CORN_SCRIPT_NAME"
ENGINE = "_engine"


def places_of_engine(program):
    """Where Corn's installation keeps the engine, for a package that is a copy without it."""
    beside = os.path.join(os.path.dirname(program), "..", "python", "corn")
    version = ".".join(map(str, sys.version_info[:2]))
    for directory in (beside, "/usr/lib/python3/dist-packages/corn",
                      f"/usr/local/lib/python{version}/dist-packages/corn"):
        yield os.path.normpath(os.path.join(directory, ENGINE + sysconfig.get_config_var("EXT_SUFFIX")))


def import_engine(program):
    try:
        return importlib.import_module(f"corn.{ENGINE}")
    except ModuleNotFoundError:
        for path in filter(os.path.exists, places_of_engine(program)):
            name = f"corn.{ENGINE}"
            loader = importlib.machinery.ExtensionFileLoader(name, path)
            specification = importlib.util.spec_from_file_location(name, path, loader=loader)
            sys.modules[name] = module = importlib.util.module_from_spec(specification)
            loader.exec_module(module)
            return module
        raise


def load_engine(program):
    """The engine that belongs to the arbiterd at `program`. SystemExit, with a sentence, without."""
    try:
        engine = import_engine(program)
    except ImportError as error:
        version = ".".join(map(str, sys.version_info[:2]))
        launcher.fail(f"the engine cannot be loaded into this Python {version}: {error}. A script "
                      "that calls run() needs Corn installed and the Python it was built for, which "
                      "is Debian's /usr/bin/python3; `python3 -m corn APP` does without")
    if engine.version != __version__:
        launcher.fail(f"the package corn is of version {__version__}, but the engine, "
                      f"{engine.__file__}, of {engine.version}; install the same version of both")
    return engine


def warn_of_threads():
    names = [thread.name for thread in threading.enumerate()
             if thread is not threading.current_thread()]
    if names:
        print("corn: a thread lives in one process only, and run() makes new ones: "
              f"{', '.join(names)} end here; start threads in load()", file=sys.stderr)


def daemonize():
    """Leaves the terminal; the process that the user started exits 0."""
    launcher.flush()
    if os.fork() > 0:
        os._exit(0)
    os.setsid()
    if os.fork() > 0:
        os._exit(0)
    os.umask(0o022)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    if null > 2:
        os.close(null)


def exit_code(status):
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def run(app, arguments=()):
    """Does not return, but raises SystemExit with the arbiter's status, in the script process."""
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("run() is to be called in the main thread")
    program = launcher.find_arbiterd()
    engine = load_engine(program)
    warn_of_threads()
    if app.cfg.daemon:
        daemonize()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    launcher.flush()
    child = os.fork()
    if child == 0:
        theirs.close()
        os.setpgid(0, 0)
        inherited.adopt_children()
        raise SystemExit(engine.serve(ours.detach(), app))
    become_arbiter(app, program, arguments, child, ours, theirs)


def become_arbiter(app, program, arguments, child, ours, theirs):
    """Never returns: what would run on is the script, and that does so in the other process."""
    try:
        os.setpgid(child, child)  # whoever comes first; Ctrl-C is the arbiter's alone
    except OSError:
        pass  # it has done so itself, and may be gone already
    ours.close()
    theirs.set_inheritable(True)
    environment = launcher.environment_for_arbiterd()
    environment[CHANNEL_VARIABLE] = str(theirs.fileno())
    environment[NAME_VARIABLE] = getattr(sys.modules["__main__"], "__file__", None) or "script"
    environment.pop("GUNICORN_CMD_ARGS", None)  # for applications that read it: they have done so
    if app.reads_command_line:
        environment.pop("CORN_CMD_ARGS", None)
    try:
        launcher.become(program, arguments, environment)
    except BaseException as error:
        reason = error.strerror if isinstance(error, OSError) else error
        print(f"corn: {program} cannot be run: {reason}", file=sys.stderr, flush=True)
    theirs.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _, status = os.waitpid(child, 0)  # it has lost its channel, and runs the script's exit handlers
    os._exit(exit_code(status) or launcher.EXIT_IN_THE_WAY)
