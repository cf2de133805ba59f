# SPDX-License-Identifier: Apache-2.0
"""Answers with the environ as JSON, other values by their type; and with the process."""
import json
import os
import sys
import threading


def application(environ, start_response):
    shown = {key: value if isinstance(value, (str, bool, int, tuple)) else type(value).__name__
             for key, value in environ.items()}
    shown["process"] = {"pid": os.getpid(), "cwd": os.getcwd(), "thread": threading.get_native_id(),
                        "executable": sys.executable, "prefix": sys.prefix, "path": sys.path,
                        "argv": sys.argv, "environ": dict(os.environ)}
    body = json.dumps(shown, indent=1, sort_keys=True).encode() + b"\n"
    start_response("200 OK", [("Content-Type", "application/json"),
                              ("Content-Length", str(len(body)))])
    return [body]
