# SPDX-License-Identifier: Apache-2.0
"""Helpers that scripts written for gunicorn import."""
import ast
import email.utils
import importlib
import inspect
import os
import socket
import time

from corn.errors import AppImportError


WORKER_CLASSES = {"sync": "corn.workers.sync.SyncWorker",
                  "gthread": "corn.workers.gthread.ThreadWorker",
                  "gevent": "corn.workers.ggevent.GeventWorker"}


def load_class(uri, default="gunicorn.workers.sync.SyncWorker", section="gunicorn.workers"):
    """The class that "PACKAGE.MODULE.CLASS" or a worker class's short name names."""
    if inspect.isclass(uri):
        return uri
    path = WORKER_CLASSES.get(uri.removeprefix("egg:gunicorn#").removeprefix("#"), uri)
    module, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise RuntimeError(f"class {uri!r} is not found: {error}") from error


def http_date(timestamp=None):
    """Of a moment, or of now, as header fields have it."""
    return email.utils.formatdate(time.time() if timestamp is None else timestamp, usegmt=True)


def is_ipv6(address):
    try:
        socket.inet_pton(socket.AF_INET6, address)
    except (OSError, ValueError):
        return False
    return True


def bytes_to_str(value):
    return value if isinstance(value, str) else value.decode("latin-1")


def getcwd():
    """The working directory, as the shell shows it where that is the same place."""
    directory = os.getcwd()
    shown = os.environ.get("PWD", "")
    try:
        return shown if os.path.samefile(shown, directory) else directory
    except OSError:
        return directory


def parse_address(address, default_port="8000"):
    """(host, port), a path for "unix:PATH", or a number for "fd://N"."""
    if address.startswith("unix:"):
        return address.removeprefix("unix:").removeprefix("//")
    if address.startswith("fd://"):
        return int(address.removeprefix("fd://"))
    address = address.removeprefix("tcp://")
    host, colon, port = address.rpartition(":")
    if not colon or address.endswith("]"):
        host, port = address, default_port
    if not port.isdigit():
        raise RuntimeError(f"{address!r}: {port!r} is not a port's number")
    return host.strip("[]").lower() or "0.0.0.0", int(port)


def import_app(specification):
    """The application that "MODULE", "MODULE:NAME" or "MODULE:FACTORY(ARGUMENTS)" names."""
    name, _, expression = specification.partition(":")
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if name.endswith(".py") and os.path.exists(name):
            raise ImportError(f"cannot import {name!r}: a module is named without its ending; "
                              f"did you mean '{name[:-3]}:{expression or 'application'}'?") from error
        raise
    application = find_object(module, expression or "application")
    if application is None:
        raise AppImportError(f"{specification!r} gives None instead of an application")
    if not callable(application):
        raise AppImportError(f"{specification!r} is not callable, "
                             f"but of type {type(application).__name__!r}")
    return application


def find_object(module, expression):
    try:
        node = ast.parse(expression.strip(), mode="eval").body
    except SyntaxError:
        raise AppImportError(f"{expression!r} is neither a name nor a call of one") from None
    called = node if isinstance(node, ast.Call) else None
    names = []
    node = called.func if called else node
    while isinstance(node, ast.Attribute):
        names.insert(0, node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        raise AppImportError(f"{expression!r} is neither a name nor a call of one")
    found = module
    for name in (node.id, *names):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise AppImportError(f"{name!r} of {expression!r} is not found "
                                 f"in module {module.__name__!r}") from None
    if called is None:
        return found
    try:
        positional = [ast.literal_eval(argument) for argument in called.args]
        named = {keyword.arg: ast.literal_eval(keyword.value) for keyword in called.keywords}
    except ValueError:
        raise AppImportError(f"the arguments in {expression!r} must be literals") from None
    return found(*positional, **named)
