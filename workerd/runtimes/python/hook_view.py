# SPDX-License-Identifier: Apache-2.0
"""What server hooks get to see: `server` and `worker` with gunicorn's attributes."""
import grp
import logging
import os
import pwd
import sys
import time
import traceback

from _corn_hook_arguments import ARGUMENTS

DEBUG, INFO, WARNING, ERROR, CRITICAL = range(5)  # base::LogLevel


class Log:
    """Writes into the error log, with the methods of a logger."""

    NUMBERS = {10: DEBUG, 20: INFO, 30: WARNING, 40: ERROR, 50: CRITICAL}  # of module logging

    def __init__(self, write):
        self._write = write
        self._told_of_access_log = False

    @property
    def error_log(self):
        """What is logged there goes to the error log, at the level of the setting loglevel."""
        return logging.getLogger("gunicorn.error")

    @property
    def access_log(self):
        if not self._told_of_access_log:
            self._told_of_access_log = True
            self.warning("A hook has asked for log.access_log: the lines of the access log are not "
                         "written by Python, so that filters and handlers of this logger don't see "
                         "them; use accesslog and access_log_format")
        return logging.getLogger("gunicorn.access")

    def log(self, level, message, *arguments, exc_info=None, **ignored):
        if isinstance(level, str):
            level = {"debug": 10, "info": 20, "warning": 30, "error": 40,
                     "critical": 50}.get(level.lower(), 20)
        text = str(message)
        if arguments:
            # As logging does it: a single dictionary is for %(name)s.
            single = len(arguments) == 1 and isinstance(arguments[0], dict) and arguments[0]
            try:
                text = text % (single or arguments)
            except (TypeError, ValueError, KeyError) as error:
                text = f"{text} {arguments!r} ({error})"
        if exc_info:
            error = exc_info if isinstance(exc_info, BaseException) else sys.exc_info()[1]
            if error is not None:
                text += "\n" + "".join(traceback.format_exception(error)).rstrip()
        self._write(self.NUMBERS[min(max(level // 10, 1), 5) * 10], text)

    def debug(self, message, *arguments, **options):
        self.log(10, message, *arguments, **options)

    def info(self, message, *arguments, **options):
        self.log(20, message, *arguments, **options)

    def warning(self, message, *arguments, **options):
        self.log(30, message, *arguments, **options)

    def error(self, message, *arguments, **options):
        self.log(40, message, *arguments, **options)

    def critical(self, message, *arguments, **options):
        self.log(50, message, *arguments, **options)

    def exception(self, message, *arguments, **options):
        options.setdefault("exc_info", True)
        self.log(40, message, *arguments, **options)

    warn = warning


def unset(*arguments):
    """In the place of a hook that isn't set."""


class Setting:
    def __init__(self, name, value):
        self.name = name
        self.value = value

    def get(self):
        return self.value


def parse_address(address, default_port=8000):
    """(host, port), a path for "unix:PATH", or a number for "fd://N"."""
    if address.startswith("unix:"):
        return address.removeprefix("unix:").removeprefix("//")
    if address.startswith("fd://"):
        return int(address.removeprefix("fd://"))
    host, colon, port = address.removeprefix("tcp://").rpartition(":")
    if not colon or port.endswith("]"):
        host, port = address.removeprefix("tcp://"), default_port
    return host.strip("[]") or "0.0.0.0", int(port)


def account_number(name, find, own):
    """Of a user or group that is given by name, by number or not at all."""
    if name is None or name == "":
        return own
    return int(name) if str(name).isdigit() else find(name)[2]


class Config:
    """The settings in force, and whatever else the configuration file defines."""

    def __init__(self, values, names):
        self.settings = {name: Setting(name, value) for name, value in values.items()}
        for name in ARGUMENTS:
            self.settings[name] = Setting(name, names.get(name) or unset)
        self._names = names

    def __getattr__(self, name):
        setting = self.__dict__.get("settings", {}).get(name)
        if setting is not None and setting.value is not None:
            return setting.value
        if self.__dict__.get("_names", {}).get(name) is not None:
            return self._names[name]
        if setting is None:
            raise AttributeError(f"there is no setting {name!r}")
        return None

    def _value(self, name):
        return self.settings[name].value if name in self.settings else None

    # ---- what gunicorn derives ----

    @property
    def is_ssl(self):
        return bool(self._value("certfile") or self._value("keyfile"))

    @property
    def worker_class_str(self):
        return str(self._value("worker_class"))

    @property
    def address(self):
        return [parse_address(address) for address in self._value("bind") or ()]

    @property
    def env(self):
        return dict(item.split("=", 1) for item in self._value("raw_env") or () if "=" in item)

    @property
    def uid(self):
        return account_number(self._value("user"), pwd.getpwnam, os.geteuid())

    @property
    def gid(self):
        return account_number(self._value("group"), grp.getgrnam, os.getegid())

    @property
    def proc_name(self):
        return self._value("proc_name") or self._value("default_proc_name") or \
            self._value("wsgi_app") or "gunicorn"


class Application:
    """`app` where the configuration is a file: what is served, once it is loaded."""

    def __init__(self, cfg, loaded):
        self.cfg = cfg
        self._loaded = loaded

    @property
    def app_uri(self):
        return self.cfg.wsgi_app

    @property
    def callable(self):
        return self._loaded()

    def wsgi(self):
        return self._loaded()


class Heartbeat:
    """gunicorn's `worker.tmp`; a worker's signs of life are elsewhere here."""

    def notify(self):
        pass

    def last_update(self):
        return time.monotonic()

    def close(self):
        pass


class Worker:
    def __init__(self, server, age):
        self.age = age
        self.pid = "[booting]"
        self.ppid = server.pid
        self.sockets = []
        self.app = server.app
        self.cfg = server.cfg
        self.log = server.log
        self.timeout = server.timeout
        self.booted = False
        self.aborted = False
        self.alive = True
        self.reloader = None
        self.nr = 0
        self.max_requests = getattr(server.cfg, "max_requests", 0) or sys.maxsize
        self.tmp = Heartbeat()
        self.wsgi = None
        self.exitcode = None

    def __str__(self):
        return f"<Worker {self.pid}>"

    def notify(self):
        pass


class PidFile:
    def __init__(self, path, pid):
        self.fname = path
        self.pid = pid


class Arbiter:
    def __init__(self, cfg, log, app):
        self.pid = os.getppid()
        self.ppid = 0
        self.cfg = cfg
        self.log = log
        self.app = app
        self.WORKERS = {}
        self.LISTENERS = []
        self.worker_age = 0
        self.num_workers = int(getattr(cfg, "workers", 1) or 1)
        self.timeout = getattr(cfg, "timeout", 30)
        self.address = getattr(cfg, "address", [])
        self.proc_name = getattr(cfg, "proc_name", None)
        path = getattr(cfg, "pidfile", None)
        self.pidfile = PidFile(path, self.pid) if path else None
        self.worker_class = getattr(cfg, "worker_class", None)
        self.master_name = "Master"
        self.master_pid = 0
        self.reexec_pid = 0
        self.systemd = False
