# SPDX-License-Identifier: Apache-2.0
"""Ways of never answering, one to a path; every other path says hello.

    /sleep   waits in C code without the interpreter's lock
    /loop    is busy in Python code
    /lock    waits for a lock that nobody gives back
    /c       stays in C code with the interpreter's lock
    /stream  sends one block, then waits
"""
import re
import threading
import time

never = threading.Lock()
never.acquire()


def sleep_for_ever():
    time.sleep(1e6)


def loop_for_ever():
    while True:
        pass


def lock_for_ever():
    never.acquire()


def match_for_ever():
    re.match(r"(a+)+$", "a" * 100 + "b")


def stream_for_ever():
    yield b"first\n"
    sleep_for_ever()


WAYS = {"/sleep": sleep_for_ever, "/loop": loop_for_ever, "/lock": lock_for_ever,
        "/c": match_for_ever}


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/stream":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return stream_for_ever()
    if path in WAYS:
        WAYS[path]()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "6")])
    return [b"hello\n"]
