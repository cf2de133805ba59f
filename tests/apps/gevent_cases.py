# SPDX-License-Identifier: Apache-2.0
"""An application for the worker class gevent: what it does on greenlets is said by the path."""

import json
import os
import sys
import time
import urllib.request

import gevent
import gevent.event
from gevent import monkey

released = gevent.event.Event()


def note(text):
    with open("notes.txt", "a", encoding="utf-8") as file:
        file.write(text + "\n")


def busy(_environ, _argument):
    while not os.path.exists("release"):
        pass  # the hub has no turn
    return b"was busy"


def sleep(_environ, seconds):
    time.sleep(float(seconds))  # patched
    return b"slept"


def wait(_environ, _argument):
    note("waiting")
    try:
        released.wait()
    except gevent.GreenletExit:
        note("killed")
        raise
    return b"released"


def release(_environ, _argument):
    released.set()
    return b""


def count(environ, _argument):
    return str(len(environ["wsgi.input"].read())).encode()


def count_for(environ, seconds):
    """The body as far as it comes in time; the rest is not waited for."""
    note("reading")
    with gevent.Timeout(float(seconds), False):
        return count(environ, "")
    return b"too late"


def read_elsewhere(environ, _argument):
    """The body, read on another greenlet."""
    try:
        return gevent.spawn(environ["wsgi.input"].read).get()
    except RuntimeError as error:
        return f"RuntimeError: {error}".encode()


def facts(_environ, _argument):
    shown = {"patched": monkey.is_module_patched("socket"),
             "patched_before_import": PATCHED_BEFORE_IMPORT,
             "greenlet": type(gevent.getcurrent()).__name__, "pid": os.getpid()}
    return json.dumps(shown).encode()


def fetch(environ, _argument):
    """Asks the same worker, whose only thread this request is on."""
    url = f"http://127.0.0.1:{environ['SERVER_PORT']}/facts"
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read()


def exit_elsewhere(_environ, _argument):
    gevent.spawn(sys.exit, 7)
    return b"spawned"


def fork(environ, _argument):
    """A child that uses the hub for itself."""
    child = os.fork()
    if child == 0:
        gevent.sleep(0.2)
        os._exit(5)
    return str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])).encode()


PATCHED_BEFORE_IMPORT = monkey.is_module_patched("socket")
BY_NAME = {function.__name__: function for function in (
    busy, sleep, wait, release, count, count_for, read_elsewhere, facts, fetch, exit_elsewhere,
    fork)}


def application(environ, start_response):
    _, name, argument, *_ = environ["PATH_INFO"].split("/") + ["", ""]
    if name == "pieces":
        start_response("200 OK", [("Content-Length", str(int(argument) * 65536))])
        return pieces(int(argument))
    function = BY_NAME.get(name)
    body = function(environ, argument) if function else environ["QUERY_STRING"].encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def pieces(number):
    for piece in range(number):
        note(f"sending {piece}")
        yield b"x" * 65536
