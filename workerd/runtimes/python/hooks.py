# SPDX-License-Identifier: Apache-2.0
"""Who calls server hooks, and when; what they are called with is hook_view.py's.

The objects are made in a template process. Workers are forked from it and inherit them, with every
attribute that hooks have set there.
"""
import json
import os
import select
import sys
import traceback
import types

from _corn_hook_arguments import ARGUMENTS, WrongHook, count_for, resolve
from _corn_hook_view import Application, Arbiter, Config, Log, Worker


def own_frames(error):
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    return frames


def describe(name, error):
    what = "".join(traceback.format_exception_only(type(error), error)).strip().splitlines()[-1]
    text = "".join(traceback.format_exception(type(error), error, own_frames(error))).rstrip()
    return f"hook {name} failed: {what}\n{text}"


class Hooks:
    """All the hooks of a configuration. What may fail answers None, or why it has failed."""

    def __init__(self, write, settings, names, script, loaded, serve):
        """`names`: of the configuration file. `script`: the application of a script, or None.
        `loaded` gives the callable that is served; `serve` takes another one in its place, or is
        None."""
        log = Log(write)
        values = json.loads(settings) if settings else {}
        if script is not None:
            app, cfg = script, script.cfg
            app.logger = getattr(app, "logger", None) or log
        else:
            cfg = Config(values, names)
            app = Application(cfg, loaded)
        self.functions = {}
        for name in ARGUMENTS:
            function = getattr(cfg, name, None) if script is not None else names.get(name)
            function = resolve(name, function)
            if callable(function):
                self.functions[name] = (function, count_for(name, function))
        self.server = Arbiter(cfg, log, app)
        self.loaded = loaded
        self.serve = serve
        self.listed = set()  # pids that arbiterd has named
        self.handles = {}    # pidfds of the workers forked here
        self.ended = {}      # those whose child_exit is still to come, by pid
        self.worker = None   # the one about to be forked; in a worker, itself

    def names(self):
        return ",".join(self.functions)

    def call(self, name, *arguments):
        if name not in self.functions:
            return None
        function, count = self.functions[name]
        try:
            function(*arguments[:count])
        except BaseException as error:
            return describe(name, error)
        return None

    # ---- in a template ----

    def run(self, name, text):
        arguments = json.loads(text) if text else {}
        server = self.server
        server.pid = arguments.get("pid", server.pid)
        server.num_workers = arguments.get("num_workers", server.num_workers)
        worker = None
        if "worker" in arguments:
            pid, age, exitcode = arguments["worker"]
            self.remove(pid)
            worker = self.ended.pop(pid, None) or self.foreign(pid, age)
            worker.exitcode = exitcode
            worker.alive = False
        if "workers" in arguments:
            self.list_workers(arguments["workers"])
        if name == "child_exit":
            return self.call(name, server, worker)
        if name == "nworkers_changed":
            server.num_workers = arguments.get("new", server.num_workers)
            return self.call(name, server, arguments.get("new"), arguments.get("old"))
        return self.call(name, server)

    def foreign(self, pid, age):
        worker = Worker(self.server, age)
        worker.pid = pid
        worker.booted = True
        return worker

    def list_workers(self, live):
        """One that was forked here and that arbiterd hasn't heard of yet stays."""
        pids = {pid for pid, _ in live}
        for pid in [pid for pid in self.server.WORKERS if pid in self.listed and pid not in pids]:
            self.remove(pid)
        for pid, age in live:
            if pid not in self.server.WORKERS and pid not in self.ended:
                self.server.WORKERS[pid] = self.foreign(pid, age)
                self.watch(pid)
        self.listed = pids

    def remove(self, pid):
        worker = self.server.WORKERS.pop(pid, None)
        if worker is not None:
            worker.alive = False
            self.ended[pid] = worker
        self.listed.discard(pid)
        if pid in self.handles:
            os.close(self.handles.pop(pid))

    def remove_ended(self):
        """Ends are told to child_exit only; server.WORKERS shows them all the same."""
        poller = select.poll()
        pids = {handle: pid for pid, handle in self.handles.items()}
        for handle in pids:
            poller.register(handle, select.POLLIN)
        for handle, _ in poller.poll(0) if pids else ():
            self.remove(pids[handle])
        if "child_exit" not in self.functions:
            self.ended.clear()

    def before_fork(self, age):
        self.remove_ended()
        self.server.worker_age = max(self.server.worker_age, age)
        self.worker = Worker(self.server, age)
        return self.call("pre_fork", self.server, self.worker)

    def forked(self, pid):
        self.worker.pid = pid
        self.server.WORKERS[pid] = self.worker
        self.worker = None
        self.ended.pop(pid, None)
        self.watch(pid)

    def watch(self, pid):
        try:
            self.handles[pid] = os.pidfd_open(pid)
        except ProcessLookupError:
            self.remove(pid)
        except OSError:
            pass  # without a descriptor arbiterd's word has to do

    # ---- in a worker ----

    def become_worker(self):
        while self.handles:
            os.close(self.handles.popitem()[1])
        self.worker.pid = os.getpid()
        self.worker.ppid = os.getppid()
        return self.call("post_fork", self.server, self.worker)

    def worker_loaded(self):
        self.worker.wsgi = self.loaded()
        self.worker.booted = True
        return self.call("post_worker_init", self.worker) or self.serve_what_hook_assigned()

    def serve_what_hook_assigned(self):
        application = self.worker.wsgi
        if application is self.loaded():
            return None
        if self.serve is None:
            self.worker.log.warning("post_worker_init has assigned worker.wsgi, which has no effect "
                                    "with the worker class asgi; wrap the application where it is made")
            return None
        if not callable(application):
            return ("hook post_worker_init failed: worker.wsgi must be callable, but is of type "
                    f"{type(application).__name__!r} now")
        self.serve(application)
        return None

    def worker_ends(self, name):
        """worker_int, worker_abort: on whatever thread has a moment for it."""
        self.worker.alive = False
        self.worker.aborted = self.worker.aborted or name == "worker_abort"
        return self.call(name, self.worker)

    def worker_exit(self):
        self.worker.alive = False
        return self.call("worker_exit", self.server, self.worker)

    def pre_request(self, request):
        """Raises what the hook raises: the request is answered 500 then."""
        if "pre_request" in self.functions:
            self.functions["pre_request"][0](self.worker, request)
        self.worker.nr += 1

    def post_request(self, request, environ, response):
        return self.call("post_request", self.worker, request, environ, response)


def make(*arguments):
    """(Hooks, None), or (None, why there are none)."""
    try:
        return Hooks(*arguments), None
    except WrongHook as failure:
        return None, str(failure)


def set_environment(variables):
    for variable in variables:
        name, _, value = variable.partition("=")
        os.environ[name] = value


def forget_inherited_exit_handlers():
    """Those of a script are its own business, at its own end. Those of the standard library are
    for what a worker makes too."""
    import atexit
    atexit._clear()
    process = sys.modules.get("multiprocessing.process")
    if process is not None:
        process._children = set()
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        util._finalizer_registry.clear()
        atexit.register(util._exit_function)
    logging = sys.modules.get("logging")
    if logging is not None:
        atexit.register(logging.shutdown)


def warm_up(application, path):
    """A GET of `path`; None, or why it can't count as one."""
    import io
    path, _, query = path.partition("?")
    status = []

    def start_response(line, headers, exc_info=None):
        status[:] = [line]
        return lambda data: None

    environ = {
        "REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": query,
        "RAW_URI": path + ("?" + query if query else ""),
        "SERVER_NAME": "localhost", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "Corn", "HTTP_HOST": "localhost", "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "0", "wsgi.version": (1, 0), "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(), "wsgi.input_terminated": True, "wsgi.errors": sys.stderr,
        "wsgi.multithread": False, "wsgi.multiprocess": True, "wsgi.run_once": False,
    }
    try:
        result = application(environ, start_response)
        try:
            for _ in result:
                pass
        finally:
            getattr(result, "close", lambda: None)()
    except BaseException as error:
        text = "".join(traceback.format_exception(type(error), error, own_frames(error)))
        return f"the application raised\n{text.rstrip()}"
    if not status:
        return "the application did not call start_response"
    return f"the application answered {status[0]}" if status[0][:1] == "5" else None


parts = types.SimpleNamespace(make=make, set_environment=set_environment,
                              forget=forget_inherited_exit_handlers, warm_up=warm_up)
