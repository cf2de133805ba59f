# SPDX-License-Identifier: Apache-2.0
"""Ways of failing, one to a path; every other path says hello.

    /raise   an exception
    /exit    sys.exit()
    /twice   start_response() called twice
    /text    a body of str
    /errors  a line to wsgi.errors, one to stdout, one to stderr; says hello
    /die     the process ends without a word
    /crash   the process dies of SIGSEGV
    /deep    a recursion without end
"""
import ctypes
import os
import sys


def recurse():
    return recurse() + 1


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/raise":
        raise ValueError("as was asked for")
    if path == "/exit":
        sys.exit("as was asked for")
    if path == "/twice":
        start_response("200 OK", [])
        start_response("200 OK", [])
    if path == "/die":
        os._exit(7)
    if path == "/crash":
        ctypes.string_at(0)
    if path == "/deep":
        recurse()
    if path == "/errors":
        print("to wsgi.errors", file=environ["wsgi.errors"])
        print("to stdout")
        print("to stderr", file=sys.stderr)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "6")])
    return ["text"] if path == "/text" else [b"hello\n"]
